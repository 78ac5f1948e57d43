"""TRL's trainers with palate's batches, losses and callbacks."""
