"""What a training records: facts, curves, results and alarms."""
