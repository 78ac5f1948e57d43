"""Troubles that last a while: a Hub that answers nonsense or is gone, disks that are full."""

import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bad_hub import ANSWERS, BadHub

if TYPE_CHECKING:
    from faults import Device
    from support.world import World

SPOILT_REQUESTS = 10**9
RECOVERY_SECONDS = 60.0


def bad_answers(world: "World", device: "Device", seconds: float, proxy: BadHub) -> dict:
    """Let the Hub answer each kind of nonsense for so long, while the device labels."""
    slowest, never_red, never_back = 0.0, [], []
    with _labelling(device, 10**6):
        for kind in ANSWERS:
            _published_after(device, RECOVERY_SECONDS)
            proxy.spoil(kind, SPOILT_REQUESTS)
            end, red = time.monotonic() + seconds, False
            while time.monotonic() < end:
                red |= not _is_well(world.space.url)
                time.sleep(0.2)
            proxy.spoil("", 0)
            never_red += [] if red else [kind]
            took = _published_after(device, RECOVERY_SECONDS)
            never_back += [kind] if took is None else []
            slowest = max(slowest, took or 0.0)
    return {
        "kinds": len(ANSWERS), "slowest_s": round(slowest, 1), "never_red": never_red,
        "never_back": never_back,
    }  # fmt: skip


def gone(world: "World", device: "Device", labels: int, seconds: float) -> dict:
    """Take the Hub away for so long; then the disks of Space and Argilla are emptied, too."""
    with _labelling(device, labels):
        _published_after(device, RECOVERY_SECONDS)
        world.kill("hub")
        time.sleep(seconds)
        red = not _is_well(world.space.url)
        for what in ("space", "argilla"):
            world.kill(what)
        shutil.rmtree(world.root / "argilla")
        shutil.rmtree(world.root / "data", ignore_errors=True)
        for what in ("hub", "argilla"):
            world.start(what)
        world.space._env["ARGILLA_API_KEY"] = world.argilla.api_key
        world.start("space")
    return {"gone_s": seconds, "red": red}


def full(world: "World", device: "Device", labels: int, disk: Path, seconds: float) -> dict:
    """Fill the disk for so long, while the device labels."""
    with _labelling(device, labels):
        _published_after(device, RECOVERY_SECONDS)
        filler = fill(disk)
        time.sleep(seconds)
        red = not _is_well(world.space.url)
        filler.unlink()
    return {"full_s": seconds, "red": red}


def full_export(world: "World", disk: Path) -> dict:
    """Run `palate export` while its disk is full, then once more."""
    words = [sys.executable, "-m", "palate", "export", world.id]
    filler = fill(disk)
    stopped = subprocess.run(words, capture_output=True, text=True, check=False)
    filler.unlink()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return {
        "code": stopped.returncode, "said": stopped.stderr.strip()[-300:],
        "tracebacks": stopped.stderr.count("Traceback"),
        "unfinished": int(done.returncode != 0),
    }  # fmt: skip


def mount(folder: Path, megabytes: int) -> None:
    """Put a small disk at the folder; only root can."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(folder)]
    subprocess.run(words, check=True)


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


def fill(disk: Path) -> Path:
    """Write until the disk is full; return the file to remove."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        for size in (2**20, 2**12):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return filler


@contextmanager
def _labelling(device: "Device", labels: int) -> Iterator[None]:
    """Let the device label until `labels` are on the Hub, or the block ends for endless ones."""
    thread = threading.Thread(target=device.label, args=(labels,), daemon=True)
    thread.start()
    yield
    if labels == 10**6:
        device.enough.set()
    thread.join(600)
    assert not thread.is_alive(), (len(device.given), len(device.outbox))


def _published_after(device: "Device", limit: float) -> float | None:
    """Return the seconds until an answer given from now on is on the Hub; None if it never is."""
    began, before = time.monotonic(), set(device.given)
    while time.monotonic() - began < limit:
        new = device.given.copy() - before
        if any(event_id not in device.outbox for event_id in new):
            return time.monotonic() - began
        time.sleep(0.1)
    return None


def _is_well(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=10):
            return True
    except urllib.error.HTTPError:
        return False
