"""Where a job runs: here, on HF Jobs or on a Slurm cluster, and at what cost."""
