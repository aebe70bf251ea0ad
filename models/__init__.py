"""Tables, their queries and their migrations.

`model` always means a table here; what llama.cpp loads is called weights.
"""
