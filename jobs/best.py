# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "palate",
#   "accelerate>=1.0,<2",
#   "peft>=0.17,<1",
#   "torch>=2.6,<3",
#   "transformers>=4.56.2,<6",
# ]
# [tool.uv.sources]
# palate = { path = "..", editable = true }
# ///
"""Answer the eval prompts with the best of n: the base model writes n, the reward chooses one.

This changes no weights, and is what training has to beat. For growing n it prints the reward, the
length, and how far the choice can move from the model. The chosen answers are a contestant in the
blind comparison (compare = "all" in palate.toml). Run it again and it continues.

    python jobs/best.py me/titles
    uv run jobs/best.py me/titles --n 64
    palate best me/titles --on hf
"""

import sys

from palate.reward.best import write_best
from palate.reward.config import BestArguments
from palate.run.local import run_main

if __name__ == "__main__":
    sys.exit(run_main(write_best, BestArguments, __doc__))
