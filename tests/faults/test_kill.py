"""Space, Argilla and Hub are killed in turn while labels arrive; nothing acknowledged is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: clients read the Hub's address once, and this Hub dies and comes back.
SCRIPT = r'''
import json, os, sys, threading, time, urllib.request, uuid
from pathlib import Path

from palate.localhub import LocalHub

root = Path(sys.argv[1])
hub = LocalHub(root / "hub").start()
os.environ |= {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token, "HF_HUB_DISABLE_XET": "1",
               "HF_HOME": str(root / "hf"), "PALATE_DATA": str(root / "data"),
               "PALATE_PUBLISH_SECONDS": "0.3"}

from palate import importing
from palate.argilla.server import EmbeddedArgilla
from palate.argilla.store import LabelStore
from palate.importing import Imported
from palate.project import Project, Settings
from palate.schema import Candidate, Prompt
from palate.serving import Space

prompts = [Prompt.of(f"Prompt {i}") for i in range(30)]
candidates = [Candidate.of(p.id, f"{n} on {p.text}") for p in prompts for n in "abcd"]
importing.start_project("me/faults", prompts, Settings())
importing.add("me/faults", Imported([], candidates, []), "Add candidates")
argilla = EmbeddedArgilla(root / "argilla").start()
space = Space("label", "me/faults", log=root / "space.log",
              env={"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key})
space.start()

WANTED = 120
acknowledged, outbox, stop = set(), {}, threading.Event()


def post(path, body):
    request = urllib.request.Request(space.url + path, json.dumps(body).encode(),
                                     {"content-type": "application/json", "x-annotator": "Ada"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def label():
    """The page's protocol: an event is kept, and sent again, until it is published."""
    said = 0
    while not stop.is_set():
        try:
            if said < WANTED and len(outbox) < 12:
                have = [e["assignment_id"] for e in outbox.values()]
                for item in post("/api/next", {"n": 2, "have": have})["items"]:
                    event_id = str(uuid.uuid4())
                    outbox[event_id] = {
                        "event_id": event_id, "assignment_id": item["id"], "kind": "label",
                        "choice": "left", "strength": 3, "milliseconds": 500}
                    said += 1
            for receipt in post("/api/events", {"events": list(outbox.values())})["results"]:
                assert receipt["state"] != "rejected", receipt
                if receipt["state"] in ("saved", "published"):
                    acknowledged.add(receipt["event_id"])
                if receipt["state"] == "published":
                    outbox.pop(receipt["event_id"], None)
        except OSError:
            time.sleep(0.2)
        if said >= WANTED and not outbox:
            return


def after(n):
    """Wait until so many events are acknowledged."""
    end = time.monotonic() + 120
    while len(acknowledged) < n and time.monotonic() < end:
        time.sleep(0.02)
    assert len(acknowledged) >= n, (len(acknowledged), n, len(outbox))


thread = threading.Thread(target=label, daemon=True)
thread.start()
for turn in range(2):
    after(10 + 36 * turn)
    space.process.kill(); space.process.wait(); space.start()
    after(22 + 36 * turn)
    argilla.process.kill(); argilla.process.wait(); argilla.start()
    after(34 + 36 * turn)
    hub.process.kill(); hub.process.wait(); hub.start()
thread.join(180)
assert not thread.is_alive(), (len(acknowledged), len(outbox))
space.stop()
ledger = [e.event_id for e in Project.load("me/faults").rows("labels")]
pairs = [e.pair_id for e in Project.load("me/faults").rows("labels")]
store = LabelStore(argilla.url, argilla.api_key)
store.open("me/faults", question="?")
there = [e.event_id for e in store.events()]
store.close()
argilla.stop(); hub.stop()
print(json.dumps({"acknowledged": sorted(acknowledged), "ledger": sorted(ledger),
                  "argilla": sorted(there), "pairs": len(set(pairs))}))
'''


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_every_acknowledged_label_is_there_once(tmp_path: Path):
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "ARGILLA_"))}
    run = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=keep,
        start_new_session=True,
    )
    try:
        out, err = run.communicate(timeout=450)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 0, err[-3000:]
    import json

    seen = json.loads(out.splitlines()[-1])
    assert len(seen["acknowledged"]) == 120
    assert seen["ledger"] == seen["acknowledged"]  # sorted lists: each once
    assert seen["argilla"] == seen["acknowledged"]
    assert seen["pairs"] == 120
