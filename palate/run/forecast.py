"""How long a job takes about, what it costs and which machine it needs. Pure: no I/O.

Tokens are reckoned from characters, operations as 6 · parameters for each token that is trained on
(J. Kaplan et al., "Scaling Laws for Neural Language Models", 2020) and a third of that once for
DPO's reference; of a machine's peak, a job of this kind reaches `USED`. Written text waits for
memory: each token of a batch reads all weights. None of this is better than a factor of two.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from palate.core.errors import UsageError
from palate.train.config import WHOLE, DPOArguments, SFTArguments, TrainArguments
from palate.train.sizes import BYTES, LARGEST_FULL, ROOM

USED = 0.3  # of a machine's peak
CHARACTERS = 4  # in a token of English text; fewer in other scripts
TEMPLATE = 10  # tokens that a chat template puts around a text
STEP = 0.03  # seconds that a step of writing takes however small the model is
SETUP = 150.0  # seconds to start a machine and to install what a job needs
TRANSFER = 1e8  # bytes a second from and to the Hub
SAVES = 4  # checkpoints an epoch
CHEAP = 60.0  # seconds that checkpoints may take whatever else is so
WAIT = 1.0  # dollars that an hour of waiting counts as when machines are compared
MARGIN, LEAST = 2.5, 1800.0  # of the timeout: times the prediction, and seconds at least
# operations and bytes a second at most; a T4 has no bfloat16, so it computes in float32
GPUS = {
    "T4": (8.1e12, 0.32e12),
    "L4": (121e12, 0.3e12),
    "A10G": (125e12, 0.6e12),
    "L40S": (362e12, 0.86e12),
    "A100": (312e12, 2.0e12),
    "RTX PRO 6000": (503e12, 1.6e12),
    "H200": (989e12, 4.8e12),
}
UNKNOWN = GPUS["A10G"]  # of a GPU that came after this table
CORE = (5e10, 1e10)  # of a CPU's core


@dataclass(frozen=True)
class Flavor:
    """A machine for hire. `memory` is that of one GPU or else of the machine, in bytes."""

    name: str
    gpus: int
    gpu: str | None
    cores: int
    memory: float
    price: float  # dollars an hour

    @classmethod
    def of(cls, info: Any) -> "Flavor":
        """Return the flavour that huggingface_hub's `JobHardwareInfo` describes."""
        chips = info.accelerator
        gpus = int(chips.quantity) if chips else 0
        memory = _number(chips.vram) / gpus if chips else _number(info.ram)
        hours = {"second": 3600, "minute": 60, "hour": 1}[info.unit_label]
        price = info.unit_cost_micro_usd * hours / 1e6
        cores = int(_number(info.cpu))
        return cls(info.name, gpus, chips and chips.model, cores, memory * 1e9, round(price, 4))

    @property
    def speed(self) -> tuple[float, float]:
        """Operations and bytes of memory a second at most, of one GPU or of all cores."""
        if self.gpu is not None:
            return GPUS.get(self.gpu, UNKNOWN)
        return CORE[0] * self.cores, CORE[1] * math.sqrt(self.cores)

    def describe(self) -> str:
        what = f"{self.gpus} × {self.gpu}" if self.gpus > 1 else self.gpu or "no GPU"
        return f"{what}, {self.memory / 1e9:.0f} GB, {money(self.price)} an hour"


@dataclass(frozen=True)
class Load:
    """What a job asks of a machine; `what` says it in words.

    `operations` are those of training; `reads` how often all weights are read one time after the
    other to write text, and `operations_a_read` what is computed meanwhile; `moved` the bytes from
    and to the Hub, `saved` those of checkpoints; `gpu_memory` and `cpu_memory` what has to fit, the
    first on each of the `gpus` that work together.
    """

    what: str
    gpu_memory: float
    cpu_memory: float
    operations: float = 0.0
    reads: float = 0.0
    operations_a_read: float = 0.0
    weights: float = 0.0  # bytes on a GPU
    moved: float = 0.0
    saved: float = 0.0
    gpus: int = 1

    def fits(self, flavor: Flavor) -> bool:
        return (self.gpu_memory if flavor.gpu else self.cpu_memory) <= flavor.memory

    def speed(self, flavor: Flavor) -> tuple[float, float]:
        """Return operations and bytes of memory a second at most, of what works together."""
        operations, read = flavor.speed
        together = self.gpus if flavor.gpu else 1
        return together * operations, together * read

    def seconds(self, flavor: Flavor) -> float:
        """Return about how long it takes, from the start of the machine on."""
        operations, read = self.speed(flavor)
        weights = self.weights * (1 if flavor.gpu else 2)  # float32 on a CPU
        step = max(STEP, weights / (USED * read), self.operations_a_read / (USED * operations))
        work = self.operations / (USED * operations) + (self.reads * step if self.reads else 0)
        return SETUP + work + self.moved / TRANSFER

    def keep(self, flavor: Flavor) -> bool:
        """Tell whether checkpoints are worth sending to the Hub.

        Full checkpoints of a model are large and a training may be short: then starting again
        costs less than keeping them.
        """
        work = self.operations / (USED * self.speed(flavor)[0])
        return self.saved / TRANSFER <= max(CHEAP, work)

    def dollars(self, flavor: Flavor) -> float:
        return self.seconds(flavor) / 3600 * flavor.price


def training(args: DPOArguments, parameters: int, pairs: Iterable[Sequence[str]]) -> Load:
    """Return what DPO asks for; `pairs` are texts: prompt, chosen, rejected."""
    distinct = {
        text for pair in pairs for text in ((pair[0],), (pair[0], pair[1]), (pair[0], pair[2]))
    }
    tokens = sum(_tokens(text[-1]) for text in distinct)
    runs = len(args.sweep.partition("=")[2].split(",")) if args.sweep else 1
    return _training(args, parameters, tokens, runs, 6 * args.epochs + 2)


def imitating(args: SFTArguments, parameters: int, answers: Iterable[Sequence[str]]) -> Load:
    """Return what SFT asks for; `answers` are texts: prompt, answer. There is no reference."""
    tokens = sum(_tokens(text) for answer in answers for text in answer)
    return _training(args, parameters, tokens, 1, 6 * args.epochs)


def _training(
    args: TrainArguments, parameters: int, tokens: float, runs: int, a_token: float
) -> Load:
    """Return what `runs` trainings ask for; `a_token` are operations for each and parameter."""
    method = args.method or ("full" if parameters <= LARGEST_FULL else "lora")
    memory = parameters * BYTES[method] / ROOM
    full = method == "full"
    shared = f" on {args.processes} GPUs" if args.processes > 1 else ""
    return Load(
        f"{method} training on about {tokens * args.epochs * runs:,.0f} tokens{shared}",
        gpus=args.processes,
        gpu_memory=memory if args.accelerate == WHOLE else memory / args.processes,
        cpu_memory=memory * (1 if full else 2) * args.processes,
        operations=runs * parameters * tokens * a_token,
        moved=parameters * (6 if full else 2),
        saved=parameters * (12 if full else 0.12) * runs * SAVES * args.epochs,
    )


def writing(
    texts: int, batch: int, longest: int, parameters: int, models: int = 1, gpus: int = 1
) -> Load:
    """Return what writing so many texts of at most `longest` tokens asks for, `batch` at once."""
    weights = 2.0 * parameters
    shared = f" on {gpus} GPUs" if gpus > 1 else ""
    return Load(
        f"writing {texts:,} texts of at most {longest:,} tokens{shared}",
        gpus=gpus,
        gpu_memory=weights * 1.3 / gpus + 2e9,
        cpu_memory=2 * weights * 1.3 + 2e9,
        reads=math.ceil(texts / batch) * longest,
        operations_a_read=2.0 * parameters * batch,
        weights=weights,
        moved=models * weights,
    )


def asking() -> Load:
    """Return what asking a model elsewhere asks for: hardly anything."""
    return Load("asking a model elsewhere", gpu_memory=0, cpu_memory=2e9)


def choose(flavors: Sequence[Flavor], load: Load, name: str | None = None) -> Flavor:
    """Return the flavour called `name`, or the one that is worth its price.

    Of machines with as many GPUs as the job takes (for one, or none), it is that with the least
    price, an hour of waiting counted as `WAIT` dollars. Raises UsageError for a name that is not
    there or has too few GPUs, and where nothing fits.
    """
    if name:
        return _named(flavors, load, name)
    enough = [f for f in flavors if (f.gpus >= load.gpus if load.gpus > 1 else f.gpus <= 1)]
    fitting = [f for f in enough if load.fits(f)]
    if not fitting:
        raise UsageError(_too_large(load, [f for f in enough if f.gpus]))
    return min(fitting, key=lambda f: load.dollars(f) + load.seconds(f) / 3600 * WAIT)


def _named(flavors: Sequence[Flavor], load: Load, name: str) -> Flavor:
    for flavor in flavors:
        if flavor.name == name:
            if 0 < flavor.gpus < load.gpus:
                raise UsageError(
                    f"{_sentence(load.what)} takes {load.gpus} GPUs, and {name} has"
                    f" {flavor.gpus}. Choose another --flavor, or leave it out."
                )
            return flavor
    names = ", ".join(f.name for f in flavors)
    raise UsageError(f"There is no flavor {name!r}; expected one of {names}.")


def _too_large(load: Load, enough: Sequence[Flavor]) -> str:
    """Return why no machine will do; `enough` are those that have the GPUs."""
    most = max(enough, key=lambda f: f.memory, default=None)
    if most is None:
        return f"There is no flavor with {load.gpus} GPUs. Use fewer."
    each = " on each" if load.gpus > 1 else ""
    size = "single GPU" if load.gpus == 1 else f"machine with {load.gpus} GPUs"
    return (
        f"{_sentence(load.what)} needs about {load.gpu_memory / 1e9:.0f} GB of GPU memory{each}."
        f" The largest {size} is {most.describe()}. Choose a smaller model or a lighter --method,"
        " or part it between more GPUs: --processes and --accelerate fsdp2 to train,"
        " --tensor-parallel to write."
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def timeout(seconds: float) -> int:
    """Return after how many seconds a job is given up that should take `seconds`."""
    return round(max(LEAST, MARGIN * seconds))


def money(dollars: float) -> str:
    """Return "$0.12"; less than a cent is "<$0.01"."""
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
    return len(text) / CHARACTERS + TEMPLATE
