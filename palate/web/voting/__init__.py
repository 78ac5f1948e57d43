"""The evaluate Space: its blind votes and the verdict page."""
