"""Candidates to labels to preferences: which pair is asked next, and what the answers say."""
