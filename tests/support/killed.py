"""Runs `palate` and ends it as `kill -9` does, at one of its requests that change something.

    python killed.py NUMBER before|after COMMAND …

NUMBER counts the requests from 1; the process ends before the request is sent, or once it is
answered. With a NUMBER that is never reached, the last line says how many there were.
"""

import os
import signal
import sys

from huggingface_hub.utils import httpx


class Deadly:
    """Counts what an HTTP client sends, and ends this process at the request `number`."""

    def __init__(self, number: int, moment: str):
        self.number, self.moment, self.count = number, moment, 0
        self.send = httpx.Client.send

    def __call__(self, client: httpx.Client, request: httpx.Request, **options) -> httpx.Response:
        if request.method in ("GET", "HEAD"):
            return self.send(client, request, **options)
        self.count += 1
        if self.count == self.number and self.moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = self.send(client, request, **options)
        if self.count == self.number:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


def main(number: int, moment: str, words: list[str]) -> None:
    from palate.cli import main as palate

    deadly = Deadly(number, moment)
    httpx.Client.send = lambda self, request, **options: deadly(self, request, **options)
    try:
        palate(words)
    finally:
        print(deadly.count)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
