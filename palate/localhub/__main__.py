"""`python -m palate.localhub --root DIR [--host ADDRESS] [--port N]`"""

import argparse
import sys
from pathlib import Path

from palate.localhub.errors import ServeError
from palate.localhub.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m palate.localhub", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the folder of repos and users")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=8123, help="the port; 0 takes any free one")
    parser.add_argument("--lifeline", action="store_true", help="stop when standard input closes")
    arguments = parser.parse_args()
    try:
        serve(arguments.root, host=arguments.host, port=arguments.port, lifeline=arguments.lifeline)
    except (ServeError, OSError) as e:
        sys.exit(f"error: {e}")


if __name__ == "__main__":
    main()
