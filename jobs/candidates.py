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
"""Write several completions of each prompt with a model; they make the pairs that people label.

Eval prompts, which are kept for the blind comparison, are left out. Run it again and it continues:
prompts that have their completions are skipped. Several jobs can share a run, one shard each.
Together they write what one job without --shard writes, and each can be continued.

--model PROVIDER:OWNER/NAME uses an Inference Provider; --engine URL uses a server such as llama.cpp
or Ollama. --rule FILE.py:FUNCTION runs on this machine only, never in a Space or a job elsewhere.

    python jobs/candidates.py me/titles --per-prompt 4
    python jobs/candidates.py me/titles --shard 3/16 --engine vllm
    uv run jobs/candidates.py me/titles --per-prompt 4
    palate candidates me/titles --on hf
"""

import sys

from palate.generate.candidates import write_candidates
from palate.generate.config import CandidatesArguments
from palate.run.local import run_main

if __name__ == "__main__":
    sys.exit(run_main(write_candidates, CandidatesArguments, __doc__))
