# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "palate",
#   "accelerate>=1.0,<2",
#   "peft>=0.17,<1",
#   "torch>=2.6,<3",
#   "transformers>=4.56.2,<6",
#   "trl>=1.16,<2",
# ]
# [tool.uv.sources]
# palate = { path = "..", editable = true }
# ///
"""Train a project's base model with KTO on answers that people called good or bad, without pairs.

They come from imported thumbs, from "both bad" (two bad answers), and from pairs taken apart: the
preferred answer is good, the other one bad. Good and bad answers get weights from their counts, and
both are printed first. The weights of the last step are kept. After an interruption the same
command continues. Pushed: weights (or the adapter), tokenizer, run.json, metrics, card.
What happens in between is in palate/train/kto.py; docs/methods.md says when it helps.

    python jobs/kto.py me/titles
    uv run jobs/kto.py me/titles --method lora
    palate kto me/titles --on hf
"""

import sys

from palate.report.publish import push_trained
from palate.run.local import run_main
from palate.run.processes import one_voice, together
from palate.train import kto
from palate.train.config import KTOArguments as Arguments
from palate.train.job import is_main_process, job_console, resumable


def main(args: Arguments) -> None:
    together(args.processes, args.accelerate)
    console = job_console()
    with one_voice(), resumable(console, args):
        job = kto.run(console, args)
        if is_main_process():
            following = f"palate completions {job.project.id} --model {job.repo}"
            push_trained(console, job, following)


if __name__ == "__main__":
    sys.exit(run_main(main, Arguments, __doc__))
