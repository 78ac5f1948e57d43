"""The labelling and voting page of both Spaces: what it asks, how it is served."""
