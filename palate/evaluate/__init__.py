"""Completions and votes to a verdict. Pure: no I/O."""
