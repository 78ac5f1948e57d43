"""The two Spaces: their pages, how they are served on this machine, how they are deployed."""
