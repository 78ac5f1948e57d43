"""A Qwen2 of 100,000 parameters that has learned to end a title; made in about two seconds."""

import sys
from pathlib import Path

SUBJECTS = ("bread", "stars", "money", "cats", "music", "rivers", "clocks", "paint")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def prompt(i: int) -> str:
    return f"Name a film about {SUBJECTS[i % len(SUBJECTS)]}, part {i}."


def title(i: int, kind: int) -> str:
    s = SUBJECTS[i % len(SUBJECTS)]
    return (f"The {s}", f"Why {s}?", f"{s}: {i % 7} tricks", f"All about old {s}")[kind % 4]


def make(folder: Path, steps: int = 150) -> None:
    """Write model and tokenizer as `from_pretrained` reads them."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    chats = [
        [{"role": "user", "content": prompt(i)}, {"role": "assistant", "content": title(i, k)}]
        for i in range(16)
        for k in range(4)
    ]
    tokenizer = make_tokenizer([m["content"] for chat in chats for m in chat])
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = Qwen2ForCausalLM(config)
    batch = tokenizer.apply_chat_template(
        chats, padding=True, padding_side="right", return_tensors="pt", return_dict=True
    )
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        rows = torch.randperm(len(chats))[:16]
        model(
            input_ids=batch["input_ids"][rows],
            attention_mask=batch["attention_mask"][rows],
            labels=labels[rows],
        ).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tokenizer(texts: list[str]):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


if __name__ == "__main__":
    make(Path(sys.argv[1]))
