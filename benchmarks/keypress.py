"""From a keypress to the next pair painted, in Chromium, against a real label Space.

    python benchmarks/keypress.py [--presses 60] [--delay 150] [--json]

Starts a local Hub, an embedded Argilla and the Space; the time is measured in the page, from the
key event's own time stamp to the frame after the change. `--delay` adds network latency (ms).
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
    " --disable-sync"
)
ARM = """() => {
  window.__took = null
  const aid = () => document.querySelector('.ballot').dataset.aid
  const before = aid()
  let start = 0
  addEventListener('keydown', (e) => { start = e.timeStamp }, { capture: true, once: true })
  const watch = new MutationObserver(() => {
    if (!aid() || aid() === before) return
    watch.disconnect()
    requestAnimationFrame(() => {
      const channel = new MessageChannel()
      channel.port1.onmessage = () => { window.__took = performance.now() - start }
      channel.port2.postMessage(0)
    })
  })
  watch.observe(document.body, { subtree: true, childList: true, attributes: true })
}"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--presses", type=int, default=60)
    parser.add_argument("--delay", type=float, default=0, help="milliseconds of network latency")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        times = measure(Path(folder), arguments.presses, arguments.delay)
    cuts = statistics.quantiles(times, n=100)
    figures = {
        "presses": len(times), "delay_ms": arguments.delay, "p50_ms": round(cuts[49], 1),
        "p95_ms": round(cuts[94], 1), "max_ms": round(max(times), 1),
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("  ".join(f"{k} {v}" for k, v in figures.items()))


def measure(root: Path, presses: int, delay: float) -> list[float]:
    from palate.argilla.server import EmbeddedArgilla
    from palate.localhub import LocalHub

    with LocalHub(root / "hub") as hub, EmbeddedArgilla(root / "argilla") as argilla:
        os.environ |= {
            "HF_ENDPOINT": hub.endpoint,
            "HF_TOKEN": hub.token,
            "HF_HOME": str(root / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "PALATE_DATA": str(root / "data"),
        }
        from palate import importing
        from palate.importing import Imported
        from palate.project import Settings
        from palate.schema import Candidate, Prompt
        from palate.serving import Space

        prompts = [Prompt.of(f"Explain number {i} to a friend.") for i in range(120)]
        words = "a clear reason with one example and no filler because readers have little time "
        rows = [
            Candidate.of(p.id, f"{n}. {p.text}\n\n{words * 12}") for p in prompts for n in "abc"
        ]
        importing.start_project("me/keys", prompts, Settings())
        importing.add("me/keys", Imported([], rows, []), "Add candidates")
        env = {"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key}
        with Space("label", "me/keys", env=env, log=root / "space.log") as space:
            return press(space.url, presses, delay)


def press(url: str, presses: int, delay: float) -> list[float]:
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{url}/?as=Ada")
        page.wait_for_function("document.querySelector('.ballot')?.dataset.aid")
        if delay:
            network = page.context.new_cdp_session(page)
            network.send("Network.enable")
            limits = {"offline": False, "latency": delay, "downloadThroughput": -1}
            network.send("Network.emulateNetworkConditions", limits | {"uploadThroughput": -1})
        for i in range(presses + 3):
            page.wait_for_timeout(400)
            page.evaluate(ARM)
            page.keyboard.press("ArrowLeft" if i % 2 else "ArrowRight")
            page.wait_for_function("window.__took !== null", timeout=30000)
            times.append(page.evaluate("window.__took"))
        browser.close()
    return times[3:]  # the first ones warm up


if __name__ == "__main__":
    main()
