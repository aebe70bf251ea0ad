"""One recognizer for each identifier of 45 CFR 164.514(b)(2) that is looked for."""
