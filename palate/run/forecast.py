"""Estimate a job's duration, cost and machine. Pure: no I/O.

Tokens are estimated from characters. Training takes 6 · parameters operations per token (J. Kaplan
et al., "Scaling Laws for Neural Language Models", 2020); DPO's reference takes a third of that,
once. A job reaches `PEAK_FRACTION` of a machine's peak. Writing is bound by memory: each token of a
batch reads all weights. Expect errors of up to a factor of two.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palate.core.errors import UsageError
from palate.label.steps import hourly_price
from palate.train.config import WHOLE, DPOArguments, TrainArguments
from palate.train.recipes.halving import first_trials, plan, refusal
from palate.train.recipes.recipe import BYTES_PER_PARAMETER, MAX_FULL_PARAMETERS, MEMORY_FRACTION

if TYPE_CHECKING:
    from huggingface_hub import JobHardwareInfo

PEAK_FRACTION = 0.3  # of a machine's peak, which a job of this kind reaches
CHARACTERS_PER_TOKEN = 4  # of English text; fewer in other scripts
TEMPLATE_TOKENS = 10  # that a chat template puts around a text
MIN_STEP_SECONDS = 0.03  # per token written, however small the model is
SETUP_SECONDS = 150.0  # to start a machine and to install what a job needs
HUB_BYTES_PER_SECOND = 1e8
CHECKPOINTS_PER_EPOCH = 4
FREE_SAVING_SECONDS = 60.0  # checkpoints that take no longer are always kept
WAITING_DOLLARS_PER_HOUR = 1.0  # when machines are compared
TIMEOUT_FACTOR, MIN_TIMEOUT_SECONDS = 2.5, 1800.0
# peak operations and bytes of memory a second; a T4 has no bfloat16, so it computes in float32
GPUS = {
    "T4": (8.1e12, 0.32e12),
    "L4": (121e12, 0.3e12),
    "A10G": (125e12, 0.6e12),
    "L40S": (362e12, 0.86e12),
    "A100": (312e12, 2.0e12),
    "RTX PRO 6000": (503e12, 1.6e12),
    "H200": (989e12, 4.8e12),
}
UNKNOWN_GPU = GPUS["A10G"]  # assumed for a GPU that is newer than this table
CPU_CORE = (5e10, 1e10)


@dataclass(frozen=True)
class Flavor:
    """A machine to rent. `memory`, in bytes, is that of one GPU, or of a machine without one."""

    name: str
    gpus: int
    gpu: str | None
    cores: int
    memory: float
    price: float  # dollars an hour

    @classmethod
    def of(cls, info: "JobHardwareInfo") -> "Flavor":
        """Return the flavor that huggingface_hub's `JobHardwareInfo` describes."""
        chips = info.accelerator
        gpus = int(chips.quantity) if chips else 0
        memory = _number(chips.vram) / gpus if chips else _number(info.ram)
        cores = int(_number(info.cpu))
        model = chips.model if chips else None
        return cls(info.name, gpus, model, cores, memory * 1e9, hourly_price(info))

    @property
    def speed(self) -> tuple[float, float]:
        """Peak operations and bytes of memory a second, of one GPU or of all cores."""
        if self.gpu is not None:
            return GPUS.get(self.gpu, UNKNOWN_GPU)
        return CPU_CORE[0] * self.cores, CPU_CORE[1] * math.sqrt(self.cores)

    def describe(self) -> str:
        what = f"{self.gpus} × {self.gpu}" if self.gpus > 1 else self.gpu or "no GPU"
        return f"{what}, {self.memory / 1e9:.0f} GB, {money(self.price)} an hour"


@dataclass(frozen=True)
class Load:
    """What a job needs of a machine; `what` describes it in words."""

    what: str
    gpu_memory: float  # bytes on each GPU
    cpu_memory: float  # bytes, without a GPU
    operations: float = 0.0  # of training
    reads: float = 0.0  # of all weights, one after another, to write text
    operations_per_read: float = 0.0
    weights: float = 0.0  # bytes on a GPU
    moved: float = 0.0  # bytes from and to the Hub
    saved: float = 0.0  # bytes of checkpoints
    gpus: int = 1  # that work together

    def fits(self, flavor: Flavor) -> bool:
        return (self.gpu_memory if flavor.gpu else self.cpu_memory) <= flavor.memory

    def speed(self, flavor: Flavor) -> tuple[float, float]:
        """Return peak operations and bytes of memory a second, of all GPUs that work together."""
        operations, read = flavor.speed
        together = self.gpus if flavor.gpu else 1
        return together * operations, together * read

    def seconds(self, flavor: Flavor) -> float:
        """Return the estimated seconds, counted from the start of the machine."""
        operations, read = self.speed(flavor)
        weights = self.weights * (1 if flavor.gpu else 2)  # float32 on a CPU
        step = max(
            MIN_STEP_SECONDS,
            weights / (PEAK_FRACTION * read),
            self.operations_per_read / (PEAK_FRACTION * operations),
        )
        work = self.operations / (PEAK_FRACTION * operations) + (
            self.reads * step if self.reads else 0
        )
        return SETUP_SECONDS + work + self.moved / HUB_BYTES_PER_SECOND

    def keeps_checkpoints(self, flavor: Flavor) -> bool:
        """Tell whether checkpoints are worth sending to the Hub.

        If they are large and the training is short, starting over costs less than saving them.
        """
        work = self.operations / (PEAK_FRACTION * self.speed(flavor)[0])
        return self.saved / HUB_BYTES_PER_SECOND <= max(FREE_SAVING_SECONDS, work)

    def dollars(self, flavor: Flavor) -> float:
        return self.seconds(flavor) / 3600 * flavor.price


def training(args: DPOArguments, parameters: int, pairs: Iterable[Sequence[str]]) -> Load:
    """Return what DPO needs; `pairs` are texts: prompt, chosen, rejected."""
    pairs = list(pairs)
    distinct = {
        text for pair in pairs for text in ((pair[0],), (pair[0], pair[1]), (pair[0], pair[2]))
    }
    tokens = sum(_tokens(text[-1]) for text in distinct)
    theirs = sum(2 * _tokens(p[0]) + _tokens(p[1]) + _tokens(p[2]) for p in pairs)
    runs = _trainings(args, parameters, len({pair[0] for pair in pairs}), theirs / max(tokens, 1))
    return _training(args, parameters, tokens, runs, 6 * args.epochs + 2)


def _trainings(args: DPOArguments, parameters: int, prompts: int, saved: float) -> float:
    """Return how many trainings the job's work is: several where it searches for its recipe.

    `saved` is how many times as many tokens TRL's batches have.
    """
    if refusal(args, prompts, args.processes) is not None:
        return 1.0
    trials = first_trials(args, args.method or "full", parameters, both=args.method is None)
    search = plan(args, trials, saved, forced=args.recipe == "search")
    return 1.0 if isinstance(search, str) else search.work / args.epochs


def imitating(args: TrainArguments, parameters: int, answers: Iterable[Sequence[str]]) -> Load:
    """Return what SFT needs, which has no reference model; `answers` are prompt and answer."""
    tokens = sum(_tokens(text) for answer in answers for text in answer)
    return _training(args, parameters, tokens, 1, 6 * args.epochs)


def scoring(parameters: int, answers: Iterable[Sequence[str]]) -> Load:
    """Return what reading each of these answers once needs; `answers` are texts."""
    tokens = sum(_tokens(text) for answer in answers for text in answer)
    weights = 2.0 * parameters
    return Load(
        f"reading about {tokens:,.0f} tokens",
        gpu_memory=weights * 1.3 + 2e9,
        cpu_memory=2 * weights * 1.3 + 2e9,
        operations=2 * parameters * tokens,
        moved=2 * weights,
    )


def _training(
    args: TrainArguments, parameters: int, tokens: float, runs: float, per_token: float
) -> Load:
    """Return what `runs` trainings need; `per_token` is operations per token and parameter."""
    method = args.method or ("full" if parameters <= MAX_FULL_PARAMETERS else "lora")
    memory = parameters * BYTES_PER_PARAMETER[method] / MEMORY_FRACTION
    full = method == "full"
    shared = f" on {args.processes} GPUs" if args.processes > 1 else ""
    return Load(
        f"{method} training on about {tokens * args.epochs * runs:,.0f} tokens{shared}",
        gpus=args.processes,
        gpu_memory=memory if args.accelerate == WHOLE else memory / args.processes,
        cpu_memory=memory * (1 if full else 2) * args.processes,
        operations=runs * parameters * tokens * per_token,
        moved=parameters * (6 if full else 2),
        saved=parameters * (12 if full else 0.12) * runs * CHECKPOINTS_PER_EPOCH * args.epochs,
    )


def writing(
    texts: int, batch: int, longest: int, parameters: int, models: int = 1, gpus: int = 1
) -> Load:
    """Return what writing `texts` of at most `longest` tokens needs, `batch` of them at once."""
    weights = 2.0 * parameters
    shared = f" on {gpus} GPUs" if gpus > 1 else ""
    return Load(
        f"writing {texts:,} texts of at most {longest:,} tokens{shared}",
        gpus=gpus,
        gpu_memory=weights * 1.3 / gpus + 2e9,
        cpu_memory=2 * weights * 1.3 + 2e9,
        reads=math.ceil(texts / batch) * longest,
        operations_per_read=2.0 * parameters * batch,
        weights=weights,
        moved=models * weights,
    )


def asking() -> Load:
    """Return what a job needs that only sends requests to a server: hardly anything."""
    return Load("asking a server", gpu_memory=0, cpu_memory=2e9)


def choose(flavors: Sequence[Flavor], load: Load, name: str | None = None) -> Flavor:
    """Return the flavor called `name`, or the best value among those that fit.

    The best value has the lowest cost, with `WAITING_DOLLARS_PER_HOUR` added for its duration. A
    job for one GPU is not given a machine with several. Raises UsageError for an unknown name, too
    few GPUs, or if nothing fits.
    """
    if name:
        return _named(flavors, load, name)
    enough = [f for f in flavors if (f.gpus >= load.gpus if load.gpus > 1 else f.gpus <= 1)]
    fitting = [f for f in enough if load.fits(f)]
    if not fitting:
        raise UsageError(_too_large(load, [f for f in enough if f.gpus]))
    return min(
        fitting, key=lambda f: load.dollars(f) + load.seconds(f) / 3600 * WAITING_DOLLARS_PER_HOUR
    )


def _named(flavors: Sequence[Flavor], load: Load, name: str) -> Flavor:
    for flavor in flavors:
        if flavor.name == name:
            if 0 < flavor.gpus < load.gpus:
                raise UsageError(
                    f"{_sentence(load.what)} needs {load.gpus} GPUs, and {name} has"
                    f" {flavor.gpus}. Choose another --flavor, or leave it out."
                )
            return flavor
    names = ", ".join(f.name for f in flavors)
    raise UsageError(f"There is no flavor {name!r}; expected one of {names}.")


def _too_large(load: Load, enough: Sequence[Flavor]) -> str:
    """Return why no machine fits; `enough` are those with enough GPUs."""
    most = max(enough, key=lambda f: f.memory, default=None)
    if most is None:
        return f"There is no flavor with {load.gpus} GPUs. Use fewer."
    per_gpu = " on each" if load.gpus > 1 else ""
    size = "single GPU" if load.gpus == 1 else f"machine with {load.gpus} GPUs"
    return (
        f"{_sentence(load.what)} needs about {load.gpu_memory / 1e9:.0f} GB of GPU memory{per_gpu}."
        f" The largest {size} is {most.describe()}. Choose a smaller model or a lighter --method,"
        " or shard it over more GPUs: --processes and --accelerate fsdp2 to train,"
        " --tensor-parallel to write."
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def timeout(seconds: float) -> int:
    """Return the timeout, in seconds, of a job that should take `seconds`."""
    return round(max(MIN_TIMEOUT_SECONDS, TIMEOUT_FACTOR * seconds))


def money(dollars: float) -> str:
    """Return "$0.12"; an amount under a cent is "<$0.01"."""
    return f"${dollars:.2f}" if dollars >= 0.01 or not dollars else "<$0.01"


def duration(seconds: float) -> str:
    """Return "40 s", "5 min" or "3 h 20 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _number(text: str) -> float:
    """Return the number of "16 GB" or "4 vCPU"."""
    return float(text.split()[0])


def _tokens(text: str) -> float:
    return len(text) / CHARACTERS_PER_TOKEN + TEMPLATE_TOKENS
