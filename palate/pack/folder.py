"""The model that is packed: its files without any code, and its likeliest answers."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from palate.core.schema import Prompt
from palate.core.typed import read_object
from palate.generate.chats import encode_batch
from palate.generate.generation import end_tokens
from palate.generate.models import Loaded, Source
from palate.pack.comparing import TOKENS, Answer

CODE = "auto_map"  # names code of a repo that transformers would run, if it were trusted


def plain(source: Source, loaded: Loaded, folder: Path) -> None:
    """Write weights, configuration and tokenizer to a new folder; an adapter is merged.

    Nothing in the folder is code, or names any: llama.cpp's converter would run it.
    """
    folder.mkdir()
    if source.base:
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
    for file in source.folder.iterdir() if source.base is None else ():
        if file.suffix == ".safetensors":
            (folder / file.name).symlink_to(file.resolve())
        elif file.suffix in (".json", ".txt", ".jinja", ".model"):
            shutil.copyfile(file, folder / file.name)
    for file in folder.iterdir():
        if not file.name.casefold().endswith("config.json"):  # some disks tell no case apart
            continue
        config = read_object(file, f"{source.repo}/{file.name}")
        if config.pop(CODE, None):
            file.write_text(json.dumps(config), "utf-8")


def likeliest_answers(loaded: Loaded, prompts: Sequence[Prompt]) -> list[Answer]:
    """Return the model's likeliest answer to each prompt."""
    import torch
    from transformers import GenerationConfig

    model, tokenizer = loaded.model.eval(), loaded.tokenizer
    model.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=sorted(end_tokens(loaded)),
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=TOKENS,
    )
    answers = []
    for prompt in prompts:
        inputs = encode_batch(tokenizer, [prompt.prompt], model.device)
        start = inputs["input_ids"][0].tolist()
        with torch.inference_mode():
            output = model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                output_logits=True,
                return_dict_in_generate=True,
            )
        likeliest = [logits[0].float().softmax(-1).max().item() for logits in output.logits]
        answers.append(Answer(start, output.sequences[0, len(start) :].tolist(), likeliest))
    return answers
