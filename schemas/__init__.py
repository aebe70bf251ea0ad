"""Pydantic shapes of what crosses the edge: OpenAI, clinical inputs and outputs, problem documents."""
