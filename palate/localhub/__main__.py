"""`python -m palate.localhub --root DIR [--host ADDRESS] [--port N]`"""

import argparse
import sys
from pathlib import Path

from palate.localhub.server import run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m palate.localhub", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="where repos and users are kept")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=8123, help="0 for any free port")
    parser.add_argument("--lifeline", action="store_true", help="stop when standard input closes")
    given = parser.parse_args()
    try:
        run(given.root, host=given.host, port=given.port, lifeline=given.lifeline)
    except (OSError, ValueError) as e:
        sys.exit(f"error: {e}")


if __name__ == "__main__":
    main()
