"""Tiny models, pairs and trainers for those who compare palate's DPO with TRL's own."""

import copy

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import Qwen2Config, Qwen2ForCausalLM
from trl import DPOConfig

from palate.demo.titles import corpus, prompt_for


def pairs_of_titles():
    """Four prompts with all six pairs of four titles, of which one is the odd one's length."""
    made = []
    for topic, titles in list(corpus().items())[:4]:
        titles = [*titles[:3], titles[3] + " in ten quiet and rather long steps"]
        for x in range(4):
            for y in range(x):
                said = [[{"role": "assistant", "content": t}] for t in (titles[x], titles[y])]
                prompt = [{"role": "user", "content": prompt_for(topic)}]
                made.append({"prompt": prompt, "chosen": said[0], "rejected": said[1]})
    return made


def small(tokenizer, seed=0, cls=Qwen2ForCausalLM, config=Qwen2Config, **kwargs):
    torch.manual_seed(seed)
    model = cls(
        config(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None, **kwargs,
        )
    )  # fmt: skip
    return model.to(torch.float64)


def trainer(cls, tokenizer, rows, tmp_path, model=None, lora=False, size=12, extra=None, **kwargs):
    settings = {
        "output_dir": str(tmp_path), "bf16": False, "use_cpu": True, "report_to": "none",
        "gradient_checkpointing": False, "per_device_train_batch_size": size, "disable_tqdm": True,
        "learning_rate": 1e-3, "save_strategy": "no", "seed": 3, "logging_steps": 1,
    }  # fmt: skip
    model = model or small(tokenizer)
    made = cls(
        model=model,
        ref_model=None if lora or kwargs.get("precompute_ref_log_probs") else copy.deepcopy(model),
        args=DPOConfig(**settings | kwargs),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=4, target_modules="all-linear") if lora else None,
        **(extra or {}),
    )
    made.model.double()
    torch.manual_seed(1)  # away from the reference, where every loss has the same value
    for w in made.model.parameters():
        if w.requires_grad:
            w.data += 0.02 * torch.randn_like(w)
    return made
