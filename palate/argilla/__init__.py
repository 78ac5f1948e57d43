"""Argilla: the working store of labels, and a server that runs it here (`server`)."""
