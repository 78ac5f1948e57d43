"""The voting page, one for both Spaces: what it asks (`service`), how it is served (`app`)."""
