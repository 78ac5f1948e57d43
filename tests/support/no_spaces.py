"""Importing this keeps Gradio from taking the checkout's folder `spaces` for a package.

A Space does that itself, but its zygote has imported Gradio by then.
"""

import sys

sys.modules["spaces"] = None  # ty: ignore[invalid-assignment]
