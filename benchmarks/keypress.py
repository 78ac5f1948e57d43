"""From a keypress to the next pair painted, in Chromium: palate's page and plain Gradio events.

    python benchmarks/keypress.py [--presses 40] [--json]

Starts a local Hub, an embedded Argilla, the label Space, and a Gradio app in which a button's event
saves the choice and returns the next pair. The time is measured in the page, from the key event's
time stamp to the frame after the change: once without others, once with 150 ms of network delay,
and once while twenty more people answer, each after 0.25 s.

In practice the servers and the other people do not share a processor with the browser. They run at
a lower priority here (nice 10), for both pages.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from support.local import chromium, post, start_project, use_hub, wait_until_ready

ARM = """() => {
  window.__took = null
  const aid = () => document.querySelector('.ballot')?.dataset.aid
    ?? document.querySelector('#left')?.textContent.match(/left \\d+/)?.[0]
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


OTHERS = 20
THINK = 0.25  # seconds
PLAIN = """
import sqlite3, sys, threading
import gradio as gr
lock = threading.Lock()
db = sqlite3.connect(sys.argv[2], check_same_thread=False)
db.execute("create table label(pair integer, side text)")
text = "a clear reason with one example and no filler because readers have little time " * 12
def choose(side, n):
    with lock, db:
        db.execute("insert into label values(?, ?)", (n, side))
    return n + 1, f"left {n + 1} {text}", f"right {n + 1} {text}"
with gr.Blocks() as app:
    n = gr.State(0)
    left, right = gr.Markdown(f"left 0 {text}", elem_id="left"), gr.Markdown(f"right 0 {text}")
    for side in ("ArrowLeft", "ArrowRight"):
        button = gr.Button(side, elem_id=side)
        button.click(choose, [gr.State(side), n], [n, left, right], api_name=side)
    press = "(e) => document.getElementById(e.key)?.click()"
    app.load(None, js=f"() => addEventListener('keydown', {press})")
app.queue(default_concurrency_limit=40)
app.launch(server_port=int(sys.argv[1]), quiet=True, ssr_mode=False)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--presses", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for page, serve in (("palate", palate), ("plain Gradio", plain)):
            with politely(serve(Path(folder))) as (url, answer):
                for delay, others in ((0, 0), (150, 0), (0, OTHERS)):
                    with crowd(answer, others):
                        times = press(url, arguments.presses, delay)
                    cuts = statistics.quantiles(times, n=100)
                    rows.append(
                        {
                            "page": page,
                            "delay_ms": delay,
                            "others": others,
                            "presses": len(times),
                            "p50_ms": round(cuts[49], 1),
                            "p95_ms": round(cuts[94], 1),
                            "max_ms": round(max(times), 1),
                        }
                    )
                    if not arguments.json:
                        print("  ".join(f"{k} {v}" for k, v in rows[-1].items()), flush=True)
    if arguments.json:
        print(json.dumps(rows))


@contextmanager
def politely(servers: AbstractContextManager) -> Iterator:
    """Enter the context in a thread of low priority, which its child processes inherit."""
    with ThreadPoolExecutor(1, initializer=os.nice, initargs=(10,)) as low:
        value = low.submit(servers.__enter__).result()
        try:
            yield value
        finally:
            servers.__exit__(None, None, None)


@contextmanager
def palate(root: Path) -> Iterator[tuple[str, Callable]]:
    """Serve a label Space; yield its address and a function that answers for another person."""
    from palate.argilla.server import EmbeddedArgilla
    from palate.localhub import LocalHub

    with LocalHub(root / "hub") as hub, EmbeddedArgilla(root / "argilla") as argilla:
        use_hub(hub, root)
        from palate.core.project import Settings
        from palate.core.schema import Candidate, Prompt
        from palate.web.serving import Space

        prompts = [Prompt.of(f"Explain number {i} to a friend.") for i in range(1200)]
        words = "a clear reason with one example and no filler because readers have little time "
        rows = [
            Candidate.of(p.id, f"{n}. {p.text}\n\n{words * 12}") for p in prompts for n in "abc"
        ]
        start_project("me/keys", prompts, rows, Settings(eval=0.1))
        env = {"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key}
        with Space("label", "me/keys", env=env, log=root / "space.log") as space:
            wait_until_ready(space.url)
            yield space.url, visitor(space.url)


def visitor(url: str) -> Callable[[int, int], None]:
    """Return a function that answers a pair on palate's page for another person."""
    pairs: dict[int, list] = {}  # by person

    def answer(who: int, step: int) -> None:
        name = f"person {who}"
        if step % 4 == 0:
            pairs[who] = post(f"{url}/api/next", {"n": 4, "have": []}, name)["items"]
        if pairs[who]:
            item = pairs[who].pop()
            event = {"event_id": f"event-{who}-{step}-{time.time_ns()}", "kind": "label"}
            event |= {"assignment_id": item["id"], "choice": "left", "strength": 3}
            post(f"{url}/api/events", {"events": [event]}, name)

    return answer


@contextmanager
def plain(root: Path) -> Iterator[tuple[str, Callable]]:
    """Serve the same question with plain Gradio events."""
    from gradio_client import Client

    from palate.web.serving import free_port

    port = free_port()
    script = root / "plain.py"
    script.write_text(PLAIN)
    child = subprocess.Popen([sys.executable, str(script), str(port), str(root / "plain.db")])
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            with suppress(OSError), urllib.request.urlopen(url):
                break
            time.sleep(0.2)
        clients: dict[int, Client] = {}

        def answer(who: int, step: int) -> None:
            if who not in clients:
                clients[who] = Client(url, verbose=False)
            clients[who].predict(api_name="/ArrowLeft")

        yield url, answer
    finally:
        child.terminate()
        child.wait()


@contextmanager
def crowd(answer: Callable[[int, int], None], people: int) -> Iterator[None]:
    """Let so many people answer while the context is open."""
    stop = threading.Event()

    def person(who: int) -> None:
        os.nice(10)  # of this thread
        step = 0
        while not stop.wait(THINK):
            answer(who, step)
            step += 1

    threads = [threading.Thread(target=person, args=(i,), daemon=True) for i in range(people)]
    for thread in threads:
        thread.start()
        time.sleep(THINK / max(people, 1))
    yield
    stop.set()
    for thread in threads:
        thread.join()


def press(url: str, presses: int, delay: float) -> list[float]:
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as p:
        browser = chromium(p)
        page = browser.new_page(viewport={"width": 1280, "height": 800}, bypass_csp=True)
        page.goto(f"{url}/?as=Ada")
        page.wait_for_function(
            "document.querySelector('.ballot')?.dataset.aid || document.querySelector('#left')"
        )
        page.wait_for_timeout(1000)
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
    return times[3:]  # the first three are a warm-up


if __name__ == "__main__":
    main()
