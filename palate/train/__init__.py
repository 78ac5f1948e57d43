"""Preferences to a model: TRL's trainers on packed batches, with checkpoints and a record."""
