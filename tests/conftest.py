"""One local Hub for the test run; every test has its own repos.

The Hub's address is set before any client is imported: huggingface_hub reads it once.
"""

import json
import os
import random
import signal
import socket
import ssl
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import tiny_model
from forking import SPACE, TRAINING, FastPython
from hypothesis import HealthCheck, settings
from once import once
from plans import set_plan

# a shell starts what runs in the background with SIGINT ignored, and children inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)

# how long an example takes depends on what else the machine does
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


PORT = free_port()
HOME = tempfile.TemporaryDirectory(prefix="palate-tests-", ignore_cleanup_errors=True)
ROOT = Path(HOME.name)
os.environ |= {
    "HF_ENDPOINT": f"http://127.0.0.1:{PORT}",
    "HF_HOME": str(ROOT / "hf"),
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PALATE_PUBLISH_SECONDS": "0.5",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
os.environ.pop("HF_TOKEN", None)
# every new HTTP client reads all certificates, and no test needs one
ssl.create_default_context = cache(ssl.create_default_context)
# hundreds of processes import palate: the first compiles it for all
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def hub():
    """The local Hub that HF_ENDPOINT names, with the token of user `me` in HF_TOKEN."""
    from palate.localhub import LocalHub

    with LocalHub(ROOT / "hub", port=PORT) as server:
        os.environ["HF_TOKEN"] = server.token
        set_plan(server, "pro")  # tests of plans choose their own
        yield server
        os.environ.pop("HF_TOKEN", None)


@pytest.fixture
def repo_id(hub) -> str:
    """A name that no other test uses."""
    return f"me/t{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder that all workers of this run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def space_python(hub, shared) -> Iterator[FastPython]:
    """A Python that starts a Space in half a second: it has imported Gradio and Argilla."""
    with FastPython(shared / "space-python", SPACE, dict(os.environ)) as python:
        yield python


@pytest.fixture(scope="session")
def fast_python(hub, shared) -> Iterator[FastPython]:
    """A Python whose scripts start with PyTorch imported."""
    from palate.run.local import child_environment

    with FastPython(shared / "fast-python", TRAINING, child_environment()) as python:
        yield python


@pytest.fixture
def fast_commands(space_python) -> Iterator[None]:
    """What a test starts with `sys.executable` are forks: commands and Spaces."""
    with space_python.instead():
        yield


@pytest.fixture(scope="session")
def tiny_folder(shared, fast_python) -> Path:
    """The tiny model and its tokenizer, trained once for the whole run."""
    from palate.run.local import child_environment

    def make(folder: Path) -> None:
        command = [str(fast_python.executable), tiny_model.__file__, str(folder)]
        subprocess.run(command, check=True, env=child_environment())

    return once(shared / "tiny", make)


@pytest.fixture
def chance() -> random.Random:
    """Random numbers. A test that fails shows their seed, and PALATE_TEST_SEED repeats them."""
    seed = int(os.environ.get("PALATE_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"PALATE_TEST_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def without_credit(hub) -> None:
    """User `me` has not paid."""
    file = hub.root / "users.json"
    before = file.read_text()
    users = json.loads(before)
    users["me"]["credit"] = False
    file.write_text(json.dumps(users))
    yield
    file.write_text(before)


@pytest.fixture(scope="session")
def argilla():
    """The embedded Argilla: `.url` and `.api_key`."""
    from palate.argilla.server import EmbeddedArgilla

    with EmbeddedArgilla(ROOT / "argilla") as server:
        yield server


@pytest.fixture(scope="session")
def titles() -> Path:
    """The 1,140 labelled title pairs, from shared/ next to the checkout."""
    name = "data/youtube-titles/idea-title_pairs-preferences.csv"
    file = Path(__file__).parents[2] / "shared" / name
    if not file.exists():
        pytest.skip(f"shared/{name} is not next to this checkout")
    return file


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument: made files hold the time, and workers must agree on names."""
    return argname if isinstance(val, bytes) else None


LONGEST = ("test_demo", "test_faults", "test_workers", "test_hosted")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest, so that no worker ends with one while the other has nothing left.

    The hosted loop comes after the other one has trained the writer that both need.
    """

    def order(item: pytest.Item) -> tuple[int, bool]:
        name = item.path.stem
        rank = LONGEST.index(name) if name in LONGEST else len(LONGEST)
        return rank, item.get_closest_marker("slow") is None

    items.sort(key=order)
