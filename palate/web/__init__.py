"""The two Spaces: the pages, how they are served and how they are deployed."""
