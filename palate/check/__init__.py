"""What tuning cost: instructions with checked answers and plain text, before and after."""
