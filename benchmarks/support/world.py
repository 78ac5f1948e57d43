"""Hub, Argilla and a label Space for a benchmark: they are killed, wiped and started again."""

import os
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "tests/support"))

from environments import lay_environments
from forking import SPACE, FastPython
from plans import set_plan
from support.killing import killed_at_moments
from support.local import start_project, use_hub
from support.troubles import mount, unmount

# the disks that can be small, one in a run
DISKS = {"full-hub": "hub", "full-argilla": "argilla", "full-space": "hf", "full-export": "hf"}
DISK_MB = 200


class World:
    """Hub, Argilla and, for each scenario, a project with a label Space.

    Spaces are forks of a process that has imported Gradio: they die like any other, and start in
    half a second.
    """

    def __init__(self, root: Path, small: str = ""):
        from palate.argilla.server import EmbeddedArgilla
        from palate.localhub import LocalHub

        self.root = root
        self.small = root / DISKS[small] if small else None
        if self.small:
            mount(self.small, DISK_MB)
        self.hub = LocalHub(root / "hub").start()
        use_hub(
            self.hub,
            root,
            PALATE_PUBLISH_SECONDS="0.5",
            PALATE_SECRET="a secret that is not on the disk",
        )
        self.argilla = EmbeddedArgilla(root / "argilla").start()
        # for `palate deploy` and `palate forget`
        os.environ |= {
            "ARGILLA_API_URL": self.argilla.url,
            "ARGILLA_API_KEY": self.argilla.api_key,
        }
        folder = Path(os.environ.get("FAST_PYTHON", root / "python"))  # tests have one
        self.space_python = FastPython(folder, SPACE, dict(os.environ))

    def open(self, name: str, labels: int, **env: str):
        """Create the project and start its Space."""
        from palate.core.project import Settings
        from palate.core.schema import Candidate, Prompt
        from palate.web.serving import Space

        self.id = f"me/{name}"
        prompts = [Prompt.of(f"Prompt {i} of {name}") for i in range(labels // 4 + 12)]
        rows = [Candidate.of(p.id, f"{n} on {p.text}") for p in prompts for n in "abcde"]
        start_project(self.id, prompts, rows, Settings(repeats=0.05, eval=0.1))
        env |= {"ARGILLA_API_URL": self.argilla.url, "ARGILLA_API_KEY": self.argilla.api_key}
        self.space = Space("label", self.id, env=env, log=self.root / f"{name}.log")
        self.start("space")

    def start(self, what: str) -> None:
        with self.space_python.instead() if what == "space" else nullcontext():
            getattr(self, what).start()

    def kill(self, what: str) -> None:
        victim = getattr(self, what)
        victim.process.kill()
        victim.process.wait()

    def wipe(self) -> None:
        self.kill("space")
        self.kill("argilla")
        shutil.rmtree(self.root / "argilla")
        shutil.rmtree(self.root / "data", ignore_errors=True)
        self.start("argilla")
        # an Argilla with an empty disk has a new key
        self.space._env["ARGILLA_API_KEY"] = self.argilla.api_key
        self.start("space")

    def killed(self, command: str, moments: int, seed: int) -> dict[str, object]:
        """Kill a command at so many moments."""
        if command == "deploy":
            lay_environments(self.hub.root, self.space_python)
            set_plan(self.hub, "pro")  # of a free account, the third Space would be refused
        return killed_at_moments(command, moments, self.space_python, self.hub, self.root, seed)

    def stop(self) -> None:
        self.space_python.__exit__()
        self.argilla.stop()
        self.hub.stop()
        if self.small:
            unmount(self.small)
