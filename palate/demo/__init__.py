"""The whole loop on this machine: a tiny model, simulated annotators, local or hosted."""
