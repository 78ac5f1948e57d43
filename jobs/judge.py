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
"""Let a language model vote on the pairs of the blind comparison, in addition to people.

It sees each pair in both orders; if its answer changes with the order, the pair is a tie. Its
figures go to judge.json in the model's repo, together with how often it agrees with people. The
card never shows one without the other. Run it again and it continues.

With --labels it answers train pairs instead, those that people decided first, and each pair once:
run it again, and the same judge answers the others. How often it agrees with people is printed,
next to how often people agree with themselves; `palate train --ai` trains on its answers, weighted
by that agreement. They never count as labels or votes of people.

Run it with several models: train --ai then uses all that are better than chance. With
`strategy = "disputed"` in palate.toml, people are asked first where they differ.

With --principles it writes five rules for the taste from some train labels, and each is tested on
labels of other train prompts. It prints the table. Rules that hold go to principles.md in the
project, which is not shown to people who label.

    python jobs/judge.py me/titles --model Qwen/Qwen2.5-7B-Instruct
    python jobs/judge.py me/titles --model Qwen/Qwen2.5-7B-Instruct --labels --pairs 400
    python jobs/judge.py me/titles --model Qwen/Qwen2.5-7B-Instruct --principles
    python jobs/judge.py me/titles --model some-model --engine http://127.0.0.1:8000/v1
    python jobs/judge.py me/titles --model auto:Qwen/Qwen2.5-72B-Instruct
    palate judge me/titles --model Qwen/Qwen2.5-7B-Instruct --on hf

With --engine it asks any OpenAI-compatible server, with the key in SERVER_API_KEY. auto: asks
Hugging Face's Inference Providers, with your Hub token.
"""

import sys

from palate.evaluate.config import JudgeArguments
from palate.report.judge import judge_pairs
from palate.run.local import run_main

if __name__ == "__main__":
    sys.exit(run_main(judge_pairs, JudgeArguments, __doc__))
