"""Argilla: the working store of labels (`store`), and a server of one's own (`server`)."""
