"""Models on the Hub with random weights, which need no training."""


def push_random_models(base: str, tuned: str, *, adapter: bool) -> str:
    """Push a random model, and one made from it, both with a tokenizer; return base's commit."""
    from peft import LoraConfig, get_peft_model
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    from palate.core import hub

    letters = pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {c: i for i, c in enumerate(["<end>", *sorted(letters)])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="<end>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    config = Qwen2Config(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=0,
        eos_token_id=0,
    )
    model = Qwen2ForCausalLM(config)
    model.push_to_hub(base)
    if adapter:
        get_peft_model(model, LoraConfig(r=2, task_type="CAUSAL_LM")).push_to_hub(tuned)
    else:
        model.push_to_hub(tuned)
    tokenizer.push_to_hub(tuned)
    return hub.describe(base, "model")[0]
