"""A reward model: comparisons to a model that scores answers, and what its scores choose."""
