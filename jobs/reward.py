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
"""Make a reward model from a project's labels: it scores how much people would like an answer.

A probe, the default, is a head on one layer of the frozen base model; its penalty is chosen on
folds by prompt. It takes minutes on a CPU. With --method full or lora, TRL then trains the layers
below the head. Ties count as equal scores. Scores have mean 0 and standard deviation 1 on the train
answers. Pushed: a sequence classifier with one label, which plain transformers loads, tokenizer,
run.json, card. The card has the accuracy on held-out prompts, and a temperature that turns
the lead of a score into the probability that people prefer the answer. See docs/reward.md.

    python jobs/reward.py me/titles
    uv run jobs/reward.py me/titles --method lora
    palate reward me/titles --on hf
"""

import sys

from palate.core.markdown import count
from palate.report.publish import push_trained
from palate.reward import notes
from palate.reward.config import RewardArguments as Arguments
from palate.reward.job import run
from palate.run.local import run_main
from palate.run.processes import one_voice, together
from palate.train.job import is_main_process, job_console, resumable


def main(args: Arguments) -> None:
    together(args.processes, args.accelerate)
    console = job_console()
    with one_voice(), resumable(console, args):
        job = run(console, args)
        if is_main_process():
            if n := notes.push(job.run_dir, job.project):
                console.print(
                    f"  {count(n, 'label')} to be looked at again: palate audit {job.project.id}"
                )
            push_trained(console, job, f"palate best {job.project.id}")


if __name__ == "__main__":
    sys.exit(run_main(main, Arguments, __doc__))
