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
"""Train a project's base model on its preferences with DPO, and push it with its card.

The data are audited first. Each distinct prompt and completion of a batch is computed once. The
test split is evaluated four times an epoch, and the weights of the last step are kept. After an
interruption the same command continues. Pushed: weights (or the adapter), tokenizer, run.json,
metrics, card. The steps are in palate/train/dpo.py.

    python jobs/dpo.py me/titles
    python jobs/dpo.py me/titles --recipe fast
    uv run jobs/dpo.py me/titles --method lora
    python jobs/dpo.py me/titles --processes 4
    python jobs/dpo.py me/titles --processes 8 --method full --accelerate fsdp2
    palate train me/titles --on hf

On several machines, start it with torchrun or `accelerate launch` and leave --processes out.
"""

import sys

from palate.report.publish import push_trained
from palate.run.local import run_main
from palate.run.processes import one_voice, together
from palate.train import dpo
from palate.train.config import DPOArguments as Arguments
from palate.train.job import is_main_process, job_console, resumable


def main(args: Arguments) -> None:
    together(args.processes, args.accelerate)
    console = job_console()
    with one_voice(), resumable(console, args):
        trained, searched = dpo.run(console, args)
        if is_main_process():
            push_trained(console, trained, f"palate completions {trained.project.id}")
            for folder in searched:
                folder.remove()


if __name__ == "__main__":
    sys.exit(run_main(main, Arguments, __doc__))
