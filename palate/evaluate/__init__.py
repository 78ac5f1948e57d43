"""Completions and votes to a verdict. Pure but for `loading`, which reads the Hub."""
