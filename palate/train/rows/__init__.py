"""The rows that trainings read, and whose labels and answers they come from."""
