"""The `datasets.Features` of a config."""

from dataclasses import fields
from typing import TYPE_CHECKING

from palate.core.schema import ROWS, Config

if TYPE_CHECKING:
    from datasets import Features


def features(config: Config, *, aspects: bool = True) -> "Features":
    """Return a column for each field of the config's rows; `aspect` where there are `aspects`."""
    from datasets import Features, List, Value  # heavy

    text, whole, fraction = Value("string"), Value("int64"), Value("float64")
    sampling = {"temperature": fraction, "top_p": fraction, "max_new_tokens": whole, "seed": whole}
    types: dict[str, object] = {
        "sampling": sampling,
        "strength": whole,
        "milliseconds": whole,
        "sequence": whole,
        "round": whole,
        "margin": fraction,
    }
    if config in ("prompts", "preferences", "unpaired"):
        messages = List({"role": text, "content": text})
        types |= {"prompt": messages, "chosen": messages, "rejected": messages}
        types |= {"completion": messages, "label": Value("bool")}
    names = [f.name for f in fields(ROWS[config]) if aspects or f.name != "aspect"]
    return Features({name: types.get(name, text) for name in names})
