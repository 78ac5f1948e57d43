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
"""Measure what tuning cost: instructions with checked answers and plain text, before and after.

Base and tuned model answer 200 instructions with the same seeds; a rule checks each answer. Both
read a text that is in no training set, and guess its next tokens. check.jsonl in the project's repo
adds your own instructions, such as {"text": "…", "rule": "includes", "value": ["word"]}. The
differences, with intervals, go onto the model's card, with an alarm where something was lost.
Where lm-eval is installed, its tasks are done as well.

    python jobs/check.py me/titles
    uv run jobs/check.py me/titles
    python jobs/check.py me/titles --task arc_easy --task piqa
    palate check me/titles --on hf
"""

import sys

from palate.check.config import CheckArguments
from palate.report.check import write_check
from palate.run.local import run_main

if __name__ == "__main__":
    sys.exit(run_main(write_check, CheckArguments, __doc__))
