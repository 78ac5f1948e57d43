"""The commands: each parses, calls and prints. Heavy imports wait until one needs them."""
