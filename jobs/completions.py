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
"""Write what base and tuned model answer to the eval prompts, for the blind comparison.

Both models get the same sampling and the same seeds, and every completion is kept. The base is the
exact revision that the tuned model was trained from. Run it again and it continues.

With --model, other models answer as well: here, at an Inference Provider (PROVIDER:OWNER/NAME), or
on a server such as llama.cpp or Ollama (--engine URL).

    python jobs/completions.py me/titles
    uv run jobs/completions.py me/titles
    palate completions me/titles --on hf
"""

import sys
from functools import partial

from palate.evaluate.loading import plan_of_completions
from palate.generate.completions import write_completions
from palate.generate.config import CompletionsArguments
from palate.run.local import run_main

if __name__ == "__main__":
    write = partial(write_completions, plan=plan_of_completions)
    sys.exit(run_main(write, CompletionsArguments, __doc__))
