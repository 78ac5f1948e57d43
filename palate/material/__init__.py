"""What the demo is made of: titles to learn from, a tiny model, an annotator with a taste."""
