"""How long `palate deploy` takes on a local Hub: from nothing, again, and from paused.

    python benchmarks/deploy.py

Packages come from the package index. At the start, none is cached.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.local import use_hub

from palate.localhub import LocalHub

PROMPTS = "idea\n" + "".join(f"A title about {n}\n" for n in range(50))
CALL = "from palate.cli import main; main()"


def palate(*words: str) -> float:
    """Run a command as a person would; return its seconds."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", CALL, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, LocalHub(Path(folder) / "hub") as hub:
        use_hub(hub, Path(folder))
        ideas = Path(folder) / "ideas.csv"
        ideas.write_text(PROMPTS)
        palate("init", "me/titles", "--prompts", str(ideas), "--column", "idea")
        first = palate("deploy", "me/titles")
        again = palate("deploy", "me/titles")
        palate("deploy", "me/titles", "--pause")
        resumed = palate("deploy", "me/titles")
    print("| from nothing to two running Spaces | again | from paused |\n|---|---|---|")
    print(f"| {first:.0f} s | {again:.1f} s | {resumed:.1f} s |")


if __name__ == "__main__":
    main()
