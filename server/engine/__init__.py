"""The token engine: a process of its own for each loaded GGUF.

It sees token ids, a grammar as text and sampling numbers: no HTTP, no SQL, no identity, no text.
"""
