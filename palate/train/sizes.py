"""Method, types, batch and checkpointing from model and device, each with its reason. Pure: no I/O.

Memory is estimated: 16 bytes a parameter for training all in float32 with AdamW (weights, gradients
and two moments), 2 for frozen weights in bfloat16, 0.6 for those in four bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from palate.core.errors import UsageError
from palate.train.config import DPOArguments, Method, SFTArguments, TrainArguments

LARGEST_FULL = 2e9  # parameters: beyond, an adapter learns as much from a thousand pairs
BYTES = {"full": 16.0, "lora": 2.6, "qlora": 0.9}  # of memory a parameter
ROOM = 0.7  # of the device's memory; the rest is for activations
PROMPTS = 4  # in an optimizer step at least: fewer make its gradient noisy
LARGEST_BATCH = 64  # pairs
RATES = {"full": 1e-6, "lora": 5e-6, "qlora": 5e-6}
ANSWERS = 8  # in an optimizer step of SFT
ANSWERS_RATES = {"full": 1e-5, "lora": 1e-4}  # of SFT, which takes larger steps than DPO
TOO_FAST = 5e-5  # a learning rate that ruins an adapter's model on little data
CHECKPOINTED = 1e9  # parameters from which activations are computed twice, on a GPU


@dataclass(frozen=True)
class Machine:
    """The device of a training; memory in bytes."""

    device: str
    memory: float
    cuda: bool
    bf16: bool
    quantizes: bool  # whether bitsandbytes is there
    processes: int = 1  # that train together

    @classmethod
    def here(cls) -> "Machine":
        import os
        from importlib.util import find_spec

        import torch

        processes = int(os.environ.get("WORLD_SIZE", "1"))
        if torch.cuda.is_available():
            memory = torch.cuda.get_device_properties(0).total_memory
            name, bf16 = torch.cuda.get_device_name(), torch.cuda.is_bf16_supported()
            quantizes = find_spec("bitsandbytes") is not None
            return cls(name, memory, True, bf16, quantizes, processes)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls("CPU", memory, False, False, False, processes)


@dataclass(frozen=True)
class Sizes:
    """What a training uses, and why, in sentences."""

    method: Method
    learning_rate: float
    batch_size: int
    accumulate: int
    gradient_checkpointing: bool
    bf16: bool
    reasons: tuple[str, ...]
    processes: int = 1
    unit: Literal["pair", "answer"] = "pair"  # what a row is

    @property
    def part(self) -> int:
        """Rows that one process computes at once."""
        return self.batch_size // self.accumulate // self.processes


def choose(args: DPOArguments, parameters: int, prompts: Sequence[str], machine: Machine) -> Sizes:
    """Return DPO's sizes: those given in `args`, else what fits the model and the device.

    `prompts` names each training row's prompt. Raises UsageError for what cannot work.
    """
    method, why = _method(args.method, parameters, machine)
    rate = args.learning_rate or RATES[method]
    if method != "full" and rate >= TOO_FAST and not args.reckless:
        raise UsageError(
            f"A learning rate of {rate:g} for an adapter has ruined models on so few pairs: their"
            " outputs collapse. Use 5e-6, or say --reckless to run it all the same."
        )
    batch, how = _batch(args.batch_size, prompts)
    if not args.batch_size:
        batch += -batch % machine.processes
    return _sizes(
        args, parameters, machine, Sizes(method, rate, batch, 1, False, False, (why, how))
    )


def choose_for_answers(args: SFTArguments, parameters: int, machine: Machine) -> Sizes:
    """Return SFT's sizes, as `choose` returns DPO's; weights in four bits are not among them."""
    method, why = _method(args.method, parameters, replace(machine, quantizes=False))
    rate = args.learning_rate or ANSWERS_RATES[method]
    batch = args.batch_size or ANSWERS + -ANSWERS % machine.processes
    how = f"batches of {batch} answers{', as asked' if args.batch_size else ''}"
    asked = Sizes(method, rate, batch, 1, False, False, (why, how), unit="answer")
    return _sizes(args, parameters, machine, asked)


def _sizes(args: TrainArguments, parameters: int, machine: Machine, asked: Sizes) -> Sizes:
    """Return the sizes with parts, checkpointing and types, which follow from the device."""
    batch, accumulate, reasons = asked.batch_size, args.accumulate or 1, list(asked.reasons)
    if batch % (accumulate * machine.processes):
        by = f" by {machine.processes} processes" if machine.processes > 1 else ""
        raise UsageError(
            f"--batch-size {batch} cannot be computed in --accumulate {accumulate} equal parts{by}."
            " Choose a divisor."
        )
    checkpointing = args.gradient_checkpointing
    if checkpointing is None:
        checkpointing = machine.cuda and parameters > CHECKPOINTED
        reasons.append(
            f"gradient checkpointing {'on' if checkpointing else 'off'}: "
            + ("activations of a model this large" if checkpointing else "activations will fit")
        )
    reasons.append(
        {
            (True, "full"): "bfloat16 arithmetic, float32 weights: steps this small would vanish",
            (False, "full"): "float32: the device has no bfloat16 worth using",
            (False, "lora"): "float32: the device has no bfloat16 worth using",
        }.get((machine.bf16, asked.method), "frozen weights in bfloat16, the adapter in float32")
    )
    return replace(
        asked,
        accumulate=accumulate,
        gradient_checkpointing=checkpointing,
        bf16=machine.bf16,
        reasons=tuple(reasons),
        processes=machine.processes,
    )


def _method(asked: Method | None, parameters: int, machine: Machine) -> tuple[Method, str]:
    size = (
        f"{parameters / 1e9:.2g} B parameters"
        if parameters >= 1e8
        else f"{parameters:,} parameters"
    )
    if asked:
        if asked == "qlora" and not machine.quantizes:
            raise UsageError(
                "--method qlora needs a GPU and bitsandbytes: pip install bitsandbytes."
                " Or use --method lora."
            )
        return asked, f"{asked}, as asked, for {size}"

    def fits(method: Method) -> bool:
        return parameters * BYTES[method] <= ROOM * machine.memory

    memory = f"{machine.memory / 2**30:.0f} GB of {machine.device}"
    if parameters <= LARGEST_FULL and (fits("full") or not machine.cuda):
        return "full", f"full fine-tune: {size} fit {memory}"
    if fits("lora") or not machine.quantizes:
        return "lora", f"LoRA: a full fine-tune of {size} is more than {memory} or the data need"
    return "qlora", f"QLoRA: {size} fit {memory} in four bits alone"


def _batch(asked: int | None, prompts: Sequence[str]) -> tuple[int, str]:
    if asked:
        return asked, f"batches of {asked} pairs, as asked"
    counts: dict[str, int] = {}
    for prompt in prompts:
        counts[prompt] = counts.get(prompt, 0) + 1
    each = max(1, round(median(counts.values())))
    batch = min(max(8, PROMPTS * each), LARGEST_BATCH)
    if batch > each:
        batch -= batch % each
    return batch, f"batches of {batch} pairs, {each} to a prompt: {PROMPTS} prompts or more a step"


def halved(sizes: Sizes) -> Sizes | None:
    """Return the sizes with twice as many parts of a batch, None where a part is one pair."""
    whole = sizes.batch_size // sizes.processes
    for parts in range(2 * sizes.accumulate, whole + 1):
        if whole % parts == 0:
            return replace(sizes, accumulate=parts)
    return None
