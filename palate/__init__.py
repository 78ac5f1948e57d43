"""palate: teach a language model your taste, and prove it blind."""

__version__ = "0.1.0"
