"""The recipe of a run: method, learning rate, batch and precision, with reasons.

All but `Machine.here` is pure. Memory is estimated per parameter: 16 bytes to train all of them in
float32 with AdamW (weights, gradients and two moments), 2 for frozen weights in bfloat16, 0.6 for
those in four bits.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from statistics import median
from typing import Literal

from palate.core.errors import PalateError, UsageError
from palate.train.config import (
    DPOArguments,
    KTOArguments,
    Method,
    RLArguments,
    SFTArguments,
    TrainArguments,
)

MAX_FULL_PARAMETERS = 2e9  # beyond, an adapter learns as much from a thousand pairs
BYTES_PER_PARAMETER = {"full": 16.0, "lora": 2.6, "qlora": 0.9}
MEMORY_FRACTION = 0.7  # of the device's memory; the rest is for activations
PROMPTS_PER_STEP = 4  # at least: fewer make a step's gradient noisy
MIN_BATCH_PAIRS, MAX_BATCH_PAIRS = 8, 64
# measured on a model of 135 M parameters (docs/recipes.md)
DPO_LEARNING_RATES = {"full": 3e-5, "lora": 2e-4, "qlora": 2e-4}
MEASURED_PARAMETERS = 135e6
RATE_EXPONENT = -0.75  # in parameters: leads to what others report at 7 B
SFT_LEARNING_RATES = {"full": 1e-5, "lora": 1e-4}  # SFT takes larger steps than DPO
SFT_BATCH_ANSWERS = 8
KTO_BATCH_ANSWERS = 16  # the divergence is estimated on a batch
RL_LEARNING_RATES = {"full": 1e-5, "lora": 1e-4}  # at `MEASURED_PARAMETERS`
RL_BATCH_ANSWERS = 32
RUINOUS = 5  # times an adapter's rate: two of three answers no longer ended
CHECKPOINTING_PARAMETERS = 1e9  # from here on a GPU computes activations twice


@dataclass(frozen=True)
class Machine:
    """The device that trains; memory in bytes."""

    device: str
    memory: float
    cuda: bool
    bf16: bool
    quantizes: bool  # whether bitsandbytes is installed
    processes: int = 1  # that train together

    @classmethod
    def here(cls) -> "Machine":
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
class Recipe:
    """What a run uses, and why, in sentences."""

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


def choose_recipe(
    args: DPOArguments, parameters: int, prompts: Sequence[str], machine: Machine
) -> Recipe:
    """Return the recipe of DPO: what `args` set, else what fits the model and the device.

    `prompts` names the prompt of each training row. Raises UsageError for what cannot work.
    """
    method, why = _method(args.method, parameters, machine)
    usual = dpo_rate(method, parameters)
    rate = args.learning_rate or usual
    if method != "full" and rate >= RUINOUS * usual and not args.reckless:
        raise UsageError(
            f"A learning rate of {rate:g} ruins an adapter of a model of this size: most of its"
            f" answers do not end. Use {usual:g}, or add --reckless to train anyway."
        )
    batch, reason = _batch(args.batch_size, prompts)
    if not args.batch_size:
        batch += -batch % machine.processes
    start = Recipe(method, rate, batch, 1, False, False, (why, reason))
    return _fit_device(args, parameters, machine, start)


def dpo_rate(method: Method, parameters: int) -> float:
    """Return the learning rate of DPO for a model of this size, to one digit.

    Measured at 135 M parameters. Smaller models take the same, larger ones less.
    """
    return scaled(DPO_LEARNING_RATES[method], parameters)


def scaled(rate: float, parameters: int) -> float:
    size = max(1.0, parameters / MEASURED_PARAMETERS)
    return float(f"{rate * size**RATE_EXPONENT:.0e}")


def choose_sft_recipe(args: SFTArguments, parameters: int, machine: Machine) -> Recipe:
    """Return the recipe of SFT, as `choose_recipe` does; it never uses weights in four bits."""
    method, why = _method(args.method, parameters, replace(machine, quantizes=False))
    rate = args.learning_rate or SFT_LEARNING_RATES[method]
    batch = args.batch_size or SFT_BATCH_ANSWERS + -SFT_BATCH_ANSWERS % machine.processes
    reason = f"batches of {batch} answers{', as asked' if args.batch_size else ''}"
    start = Recipe(method, rate, batch, 1, False, False, (why, reason), unit="answer")
    return _fit_device(args, parameters, machine, start)


def choose_kto_recipe(args: KTOArguments, parameters: int, machine: Machine) -> Recipe:
    """Return the recipe of KTO, as `choose_recipe` does, with the rates of DPO.

    Raises UsageError for a part of a batch that is a single answer: each is compared with another
    one of its part.
    """
    method, why = _method(args.method, parameters, machine)
    rate = args.learning_rate or dpo_rate(method, parameters)
    batch = args.batch_size or KTO_BATCH_ANSWERS + -KTO_BATCH_ANSWERS % machine.processes
    reason = f"batches of {batch} answers{', as asked' if args.batch_size else ''}"
    start = Recipe(method, rate, batch, 1, False, False, (why, reason), unit="answer")
    recipe = _fit_device(args, parameters, machine, start)
    if recipe.part < 2:
        raise UsageError(
            f"KTO compares each answer with another one of the batch, and --batch-size {batch}"
            f" leaves one answer in each part. Use --batch-size {4 * machine.processes} or more,"
            " or a lower --accumulate."
        )
    return recipe


def choose_rl_recipe(args: RLArguments, parameters: int, prompts: int, machine: Machine) -> Recipe:
    """Return the recipe of RL on so many prompts, as `choose_recipe` does.

    Raises UsageError where a batch needs more prompts than there are.
    """
    method, why = _method(args.method, parameters, replace(machine, quantizes=False))
    rate = args.learning_rate or scaled(RL_LEARNING_RATES[method], parameters)
    most = prompts * args.n
    batch = args.batch_size or min(max(1, RL_BATCH_ANSWERS // args.n) * args.n, most)
    if batch > most:
        raise UsageError(
            f"--batch-size {batch} takes {batch // args.n:,} prompts, and there are {prompts:,}."
            f" Use --batch-size {most} or less."
        )
    reason = f"batches of {batch} answers, {args.n} to a prompt"
    start = Recipe(method, rate, batch, 1, False, False, (why, reason), unit="answer")
    return _fit_device(args, parameters, machine, start)


def choose_reward_recipe(
    args: TrainArguments, parameters: int, prompts: Sequence[str], machine: Machine
) -> Recipe:
    """Return the recipe of a trained reward, as `choose_recipe` does, with the rates of DPO."""
    asked = args.method if args.method in ("full", "lora") else None
    method, why = _method(asked, parameters, replace(machine, quantizes=False))
    rate = args.learning_rate or dpo_rate(method, parameters)
    batch, reason = _batch(args.batch_size, prompts)
    if not args.batch_size:
        batch += -batch % machine.processes
    return _fit_device(
        args, parameters, machine, Recipe(method, rate, batch, 1, False, False, (why, reason))
    )


def _fit_device(args: TrainArguments, parameters: int, machine: Machine, start: Recipe) -> Recipe:
    """Return the recipe with parts, checkpointing and precision, which follow from the device."""
    batch, accumulate, reasons = start.batch_size, args.accumulate or 1, list(start.reasons)
    if batch % (accumulate * machine.processes):
        by = f" by {machine.processes} processes" if machine.processes > 1 else ""
        raise UsageError(
            f"--batch-size {batch} cannot be computed in --accumulate {accumulate} equal parts{by}."
            " Choose a divisor."
        )
    checkpointing = args.gradient_checkpointing
    if checkpointing is None:
        checkpointing = machine.cuda and parameters > CHECKPOINTING_PARAMETERS
        reasons.append(
            "gradient checkpointing on: the activations of a model this large take much memory"
            if checkpointing
            else "gradient checkpointing off: activations will fit"
        )
    if start.method == "full" or (start.method == "lora" and not machine.bf16):
        reasons.append(
            "bfloat16 arithmetic, float32 weights: steps this small would vanish in bfloat16"
            if machine.bf16
            else "float32: the device has no fast bfloat16"
        )
    else:
        reasons.append("frozen weights in bfloat16, the adapter in float32")
    return replace(
        start,
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
        return parameters * BYTES_PER_PARAMETER[method] <= MEMORY_FRACTION * machine.memory

    memory = f"{machine.memory / 2**30:.0f} GB of {machine.device}"
    if parameters <= MAX_FULL_PARAMETERS and (fits("full") or not machine.cuda):
        return "full", f"full fine-tuning: {size} fit in {memory}"
    if fits("lora") or not machine.quantizes:
        return "lora", f"LoRA: full fine-tuning of {size} exceeds {memory} or what the data need"
    return "qlora", f"QLoRA: {size} fit in {memory} only in four bits"


def _batch(asked: int | None, prompts: Sequence[str]) -> tuple[int, str]:
    if asked:
        return asked, f"batches of {asked} pairs, as asked"
    per_prompt = max(1, round(median(Counter(prompts).values())))
    batch = min(max(MIN_BATCH_PAIRS, PROMPTS_PER_STEP * per_prompt), MAX_BATCH_PAIRS)
    if batch > per_prompt:
        batch -= batch % per_prompt
    return batch, (
        f"batches of {batch} pairs, {per_prompt} per prompt: {PROMPTS_PER_STEP} or more prompts"
        " per step"
    )


def halved(recipe: Recipe) -> Recipe | None:
    """Return the recipe with about twice as many parts per batch; None where a part is one row."""
    whole = recipe.batch_size // recipe.processes
    for parts in range(2 * recipe.accumulate, whole + 1):
        if whole % parts == 0:
            return replace(recipe, accumulate=parts)
    return None


def check_mergeable(method: str, *, is_sharded: bool) -> None:
    """Raise UsageError where SFT could not merge its adapter: no process would hold all weights."""
    if method != "full" and is_sharded:
        raise UsageError(
            "SFT merges its adapter into the base model at the end, which no GPU can do that holds"
            " only a part of the model. Use --method full, or leave --accelerate out."
        )


def smaller(recipe: Recipe) -> Recipe:
    """Return the recipe to continue with when memory ran out.

    Raises PalateError where a part is one row already, and where several processes train: one
    cannot go back alone, since the others wait for it where it ran out.
    """
    parts = halved(recipe)
    if parts is None:
        raise PalateError(
            f"Memory ran out on a single {recipe.unit}. Lower --max-length, or use a lighter"
            " --method."
        )
    if parts.processes > 1:
        raise PalateError(
            "Memory ran out in one of the processes. Run the same command again with"
            f" --accumulate {parts.accumulate}: it continues from the last checkpoint."
        )
    return parts
