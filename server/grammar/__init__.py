"""Output type > grammar text. Outlines is the front, llguidance the language; the engine gets text."""
