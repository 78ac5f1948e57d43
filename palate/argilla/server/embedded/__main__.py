"""`python -m embedded --host ADDRESS --port N`; everything else comes from the environment."""

import argparse

from embedded.app import main

parser = argparse.ArgumentParser()
parser.add_argument("--host", required=True)
parser.add_argument("--port", type=int, required=True)
arguments = parser.parse_args()
main(arguments.host, arguments.port)
