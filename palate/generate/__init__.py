"""Prompts to candidates and completions: models, writers, shards."""
