"""Argilla: the working store of labels (`store`), and a server that runs it here (`server`)."""
