"""Runs inside the server's own environment: argilla-server in one process, on SQLite."""
