"""What people type and see in a terminal: flags, repo@revision, progress."""
