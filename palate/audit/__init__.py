"""What is wrong with a preference dataset, found before GPU time is spent on it."""
