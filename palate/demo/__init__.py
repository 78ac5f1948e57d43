"""The whole loop on this machine, with a small model and simulated annotators.

`local` runs it in processes, `hosted` in Spaces and jobs of the local Hub; `runner` chooses.
"""
