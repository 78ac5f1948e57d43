"""What people already have, brought into a project: files, columns, pairs, votes, splits."""
