"""Inputs and outputs of the clinical tasks, one task a file."""
