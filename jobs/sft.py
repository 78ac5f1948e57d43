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
The steps are in palate/train/sft.py.

With --hindsight, the model learns both answers of a pair, in both orders, after words that say
which is better (Chain of Hindsight). When it writes, palate adds the words for the better one.

With --from best, the model learns its own best answers instead (rejection sampling): it writes 8
answers to each train prompt, the reward chooses one, and the model learns it. It then writes and
learns once more. After each round, the mean reward of its answers to the test prompts is printed;
it goes onto the card. Make the reward first, with palate reward. See docs/reward.md.

    python jobs/sft.py me/titles
    python jobs/sft.py me/titles --from best --n 16 --rounds 3 --max-new-tokens 64
    palate train me/titles --base-model me/titles-sft
    uv run jobs/sft.py me/titles --method lora
    python jobs/sft.py me/titles --processes 4
    palate sft me/titles --on hf

On several machines, start it with torchrun or `accelerate launch` and leave --processes out.
"""

import sys

from palate.report.publish import push_trained
from palate.reward import rejection
from palate.run.local import run_main
from palate.run.processes import one_voice, together
from palate.train import sft
from palate.train.config import SFTArguments as Arguments
from palate.train.config import check_sft
from palate.train.job import is_main_process, job_console, resumable


def main(args: Arguments) -> None:
    check_sft(args)
    together(args.processes, args.accelerate)
    console = job_console()
    with one_voice(), resumable(console, args):
        job = rejection.run(console, args) if args.source == "best" else sft.run(console, args)
        if is_main_process():
            following = f"palate train {job.project.id} --base-model {job.repo}"
            if args.hindsight:
                following = f"palate completions {job.project.id} --model {job.repo}"
            push_trained(console, job, following)


if __name__ == "__main__":
    sys.exit(run_main(main, Arguments, __doc__))
