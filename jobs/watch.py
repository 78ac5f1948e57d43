# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "palate",
# ]
# [tool.uv.sources]
# palate = { path = "..", editable = true }
# ///
"""Start a training on HF Jobs when enough new labels are there.

`palate round me/titles --when 200` makes a webhook of the Hub that runs this after each change of
the project. However often it runs, the same labels start one training.

    python jobs/watch.py me/titles --labels 200 --dry-run
    uv run jobs/watch.py me/titles --labels 200 --dry-run
    palate round me/titles --when 200
"""

import sys

from palate.run.local import run_main
from palate.run.watch import WatchArguments, watch

if __name__ == "__main__":
    sys.exit(run_main(watch, WatchArguments, __doc__))
