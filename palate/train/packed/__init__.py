"""Prefix-shared packing: layout, masks, forward, and the check against TRL's batches."""
