"""palate: teach a language model your taste, and prove it blind."""

import os
from urllib.parse import urlsplit

__version__ = "0.1.0"

if urlsplit(os.environ.get("HF_ENDPOINT", "")).hostname in ("127.0.0.1", "localhost", "::1"):
    # The local Hub stores large files by LFS; huggingface_hub reads this once, at its import.
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
