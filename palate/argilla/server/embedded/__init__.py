"""Code that runs in the server's own environment, around an unmodified argilla-server."""
