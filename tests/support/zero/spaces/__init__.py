"""What an app sees of the package `spaces` on ZeroGPU, for Spaces that tests start without it.

It keeps the two promises that palate relies on: `GPU` marks a function, and `zero.startup` reports
that there is one to the address that the Hub gives.
"""

from spaces import zero


def GPU(duration: int = 60):  # noqa: N802 - its name there
    def mark(function):
        zero.marked.append(function)
        return function

    return mark
