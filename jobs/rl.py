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
"""Train a project's base model against its reward, held to the base model by a KL penalty.

TRL dropped PPO; RLOO, used here, and GRPO are its successors. The model answers train prompts, and
learns from which of a prompt's answers the reward prefers. A second reward, which learned from
other labels, measures: where the first one still rises and the held-out one does not, the model
exploits errors, and the run stops. Kept are the weights with the highest held-out reward. Make the
reward first, with palate reward. After an interruption the same command continues. Pushed: weights
(or the adapter), tokenizer, run.json, metrics, the answers of each check, card; docs/methods.md.

    python jobs/rl.py me/titles
    uv run jobs/rl.py me/titles --method lora
    palate rl me/titles --on hf
"""

import sys

from palate.report.publish import push_trained
from palate.reward import rl
from palate.run.local import run_main
from palate.train.config import RLArguments as Arguments
from palate.train.job import job_console, resumable


def main(args: Arguments) -> None:
    console = job_console()
    with resumable(console, args):
        job = rl.run(console, args)
        following = f"palate completions {job.project.id} --model {job.repo}"
        push_trained(console, job, following)


if __name__ == "__main__":
    sys.exit(run_main(main, Arguments, __doc__))
