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
"""Train a project's base model on the answers that people preferred: a warm start for DPO.

An answer is learned if it won more comparisons than it lost; inferred preferences do not count. The
loss covers answers only, not prompts. The test split is evaluated four times an epoch, and the best
checkpoint is kept. After an interruption the same command continues. Pushed: a whole model (an
adapter is merged), tokenizer, run.json, metrics, card.
What happens in between is in palate/train/sft.py.

    python jobs/sft.py me/titles
    palate train me/titles --base-model me/titles-sft
    uv run jobs/sft.py me/titles --method lora
    python jobs/sft.py me/titles --processes 4
    palate sft me/titles --on hf

On several machines, start it with torchrun or `accelerate launch` and leave --processes out.
"""

import sys

from palate.report.publish import push_trained
from palate.run.local import run_main
from palate.run.processes import one_voice, together
from palate.train import sft
from palate.train.config import SFTArguments as Arguments
from palate.train.job import is_main_process, job_console, resumable


def main(args: Arguments) -> None:
    together(args.processes, args.accelerate)
    console = job_console()
    with one_voice(), resumable(console, args):
        job = sft.run(console, args)
        if is_main_process():
            push_trained(console, job, f"palate train {job.project.id} --base-model {job.repo}")


if __name__ == "__main__":
    sys.exit(run_main(main, Arguments, __doc__))
