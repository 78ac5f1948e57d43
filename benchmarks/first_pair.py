"""From opening the page of a warm label Space to the first pair painted, in Chromium.

    python benchmarks/first_pair.py [--visits 8] [--json]

Each visit has a new browser profile, so nothing is cached. Once without and once with 100 ms
of network delay per request. The figures: the times until something and until the first pair is
painted, the requests before that and their compressed size, and the processor time that they take
in the Space, which other work on the machine does not change.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from keypress import palate, politely
from support.local import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WATCH = """new MutationObserver((_, watch) => {
  if (!document.querySelector('.ballot')?.dataset.aid) return
  watch.disconnect()
  requestAnimationFrame(() => setTimeout(() => { window.__first = performance.now() }))
}).observe(document, { subtree: true, childList: true, attributes: true })"""
SEEN = """() => [window.__first, performance.getEntriesByName('first-paint')[0].startTime,
  ['resource', 'navigation'].flatMap((kind) => performance.getEntriesByType(kind))
    .reduce((bytes, e) => bytes + e.encodedBodySize, 0)]"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--visits", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        politely(palate(Path(folder))) as (url, _),
        sync_playwright() as p,
    ):
        browser = chromium(p)
        list(visits(browser, url, 0, 1))  # warms the Space
        rows = [measured(browser, url, delay, arguments.visits) for delay in (0, 100)]
        browser.close()
    if arguments.json:
        print(json.dumps(rows))
    else:
        print("\n".join("  ".join(f"{k} {v}" for k, v in row.items()) for row in rows))


def measured(browser: "Browser", url: str, delay: int, number: int) -> dict[str, Any]:
    """Return the medians of so many visits."""
    rows = visits(browser, url, delay, number)
    first, paint, size, requests, processor = zip(*rows, strict=True)
    return {
        "delay_ms": delay,
        "first_pair_ms": round(statistics.median(first)),
        "slowest_ms": round(max(first)),
        "first_paint_ms": round(statistics.median(paint)),
        "kb": round(max(size) / 1000),
        "requests": statistics.median(requests),
        "processor_ms": round(1000 * statistics.median(processor)),
    }


def visits(
    browser: "Browser", url: str, delay: int, number: int
) -> Iterator[tuple[float, float, int, int, float]]:
    """Yield times, bytes, requests and the Space's processor time of visits of new people."""
    space = process_of(url)
    for i in range(number):
        context = browser.new_context(viewport={"width": 1280, "height": 800}, bypass_csp=True)
        page = context.new_page()
        page.add_init_script(WATCH)
        if delay:
            network = context.new_cdp_session(page)
            network.send("Network.enable")
            limits = {"offline": False, "latency": delay, "downloadThroughput": -1}
            network.send("Network.emulateNetworkConditions", limits | {"uploadThroughput": -1})
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        before = sum(space.cpu_times()[:2])
        page.goto(f"{url}/?as=First{delay}-{number}-{i}")
        page.wait_for_function("window.__first")
        yield *page.evaluate(SEEN), len(asked), sum(space.cpu_times()[:2]) - before
        context.close()


def process_of(url: str) -> psutil.Process:
    """Return the process that listens at the address."""
    port = int(url.rsplit(":", 1)[1])
    listening = (c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN)
    return psutil.Process(next(c.pid for c in listening if c.laddr.port == port))


if __name__ == "__main__":
    main()
