"""The page that both Spaces share: what it asks, who may answer, how it is served."""
