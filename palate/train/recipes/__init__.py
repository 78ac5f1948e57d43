"""Which recipe a training takes: reasons, a search, and the memory that it needs."""
