"""The losses of `palate train`: those of TRL's DPO, alone or as a weighted sum, and three more.

ORPO, SimPO and CPO need no reference model. TRL's own functions compute them, from its experimental
part, on the log-probabilities of palate's batches.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from palate.core.errors import PalateError, UsageError
from palate.core.schema import Preference

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

Strength = Literal["off", "offset", "weight"]
DPO_LOSSES = (
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot",
    "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
)  # fmt: skip
FREE = {"orpo": "ORPOTrainer", "simpo": "CPOTrainer", "cpo": "CPOTrainer"}  # TRL's trainer of each
SORTED = ("aot", "aot_unpaired")  # compare the sorted pairs of a batch, not each pair
EXO_SMOOTHING = 1e-3  # as its paper has it
SIMPO_GAMMA = 0.5  # TRL's default: the lead that SimPO asks for
SIMPO_BETA = 2.0  # the least that its authors tried
CPO_ALPHA = 1.0  # TRL's default: the weight of the chosen answers' own likelihood
MEASURED_BETA = 0.1  # of the rewards that are measured where the loss has none
SFT_WEIGHT = 0.1  # DPO alone lowers the likelihood of EOS, too: half of its answers did not end
WITH_SFT = ("sigmoid", "robust")  # DPO, with right and with wrong labels


class LossArguments(Protocol):
    """The arguments of `palate train` that a loss depends on."""

    @property
    def loss(self) -> str: ...
    @property
    def beta(self) -> float: ...
    @property
    def measured_beta(self) -> float: ...
    @property
    def flip_rate(self) -> float | None: ...
    @property
    def strength(self) -> str: ...
    @property
    def length_desensitized(self) -> bool: ...
    @property
    def sft_weight(self) -> float | None: ...
    @property
    def ai(self) -> bool: ...


@dataclass(frozen=True)
class Terms:
    """The losses that are summed, each with its weight."""

    names: tuple[str, ...]
    weights: tuple[float, ...]

    @property
    def free(self) -> str | None:
        """The loss without a reference model, if it is one."""
        return self.names[0] if self.names[0] in FREE else None


def parse(text: str) -> Terms:
    """Return the terms of `--loss`, such as "ipo" or "sigmoid:0.8,bco_pair:0.2,sft:1".

    Raises UsageError for a name that there is not, a weight that is none, and sums that cannot be.
    """
    names, weights = [], []
    for part in text.split(","):
        name, colon, number = part.strip().partition(":")
        if name not in DPO_LOSSES and name not in FREE:
            known = ", ".join((*DPO_LOSSES, *FREE))
            raise UsageError(f"--loss {text}: there is no loss {name!r}. Expected one of {known}.")
        try:
            weight = float(number) if colon else 1.0
        except ValueError:
            weight = 0.0
        if not 0 < weight < float("inf"):
            raise UsageError(
                f"--loss {text}: {number!r} is no weight above 0. A sum is typed like this:"
                " --loss sigmoid:0.8,bco_pair:0.2,sft:1"
            )
        names.append(name)
        weights.append(weight)
    _check_sum(text, names)
    return Terms(tuple(names), tuple(weights))


def _check_sum(text: str, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise UsageError(f"--loss {text} names a loss twice. Name each once, with its weight.")
    free = [name for name in names if name in FREE]
    if free and len(names) > 1:
        raise UsageError(
            f"--loss {text}: {free[0]} is a whole loss and cannot be part of a sum. Use --loss"
            f" {free[0]} alone."
        )


def sft_weight(args: LossArguments) -> float:
    """Return the weight of the chosen answers' own likelihood: as asked, else what DPO needs.

    DPO raises a difference, by lowering both likelihoods if that is easier, that of EOS included.
    The sum keeps the chosen answers likely, and so they end (R. Y. Pang et al., "Iterative
    reasoning preference optimization", 2024). Another loss is taken as it is named.
    """
    if args.sft_weight is not None:
        return args.sft_weight
    return SFT_WEIGHT if args.loss in WITH_SFT and not _weighs_pairs(args) else 0.0


def _weighs_pairs(args: LossArguments) -> bool:
    return args.strength == "weight" or args.ai


def named(loss: str, sft_weight: float) -> str:
    """Return the loss as `--loss` takes it, with the weight of `--sft-weight` in the sum."""
    if not sft_weight or parse(loss).free:
        return loss
    return f"{loss},sft:{sft_weight:g}"


def check(args: LossArguments) -> None:
    """Raise UsageError for a loss that the other arguments cannot go with."""
    terms = parse(args.loss)
    if terms.free:
        _check_free(args, terms.free)
    if args.sft_weight is not None and not 0 <= args.sft_weight < float("inf"):
        raise UsageError(
            f"--sft-weight {args.sft_weight:g}: expected 0 or more, such as {SFT_WEIGHT:g}."
        )
    if args.sft_weight and "sft" in terms.names:
        raise UsageError("--sft-weight adds the loss sft, which --loss has already. Use one.")
    names = (*terms.names, "sft") if args.sft_weight else terms.names
    whole = [name for name in names if name in ("sft", *SORTED)]
    if args.strength == "weight" and whole:
        raise UsageError(
            f"--strength weight gives each pair a weight, and the loss {whole[0]} is one figure of"
            " a whole batch. Use --strength offset."
        )
    if args.ai and (whole := [terms.free] if terms.free else whole):
        raise UsageError(
            f"--ai gives a judge's pairs a lower weight, and the loss {whole[0]} takes none. Use"
            " another --loss, without --sft-weight."
        )


def _check_free(args: LossArguments, name: str) -> None:
    reference = {
        "--strength offset": args.strength == "offset",
        "--strength weight": args.strength == "weight",
        "--length-desensitized": args.length_desensitized,
        "--flip-rate": args.flip_rate is not None,
    }
    for flag, is_set in reference.items():
        if is_set:
            raise UsageError(f"{flag} changes DPO's loss, and --loss {name} is another. Use one.")
    if args.sft_weight and name != "simpo":
        raise UsageError(
            f"--loss {name} has the chosen answers' own likelihood already. Leave --sft-weight out."
        )


def options(args: LossArguments) -> dict[str, Any]:
    """Return TRL's options for DPO's loss, or for what is measured where it is another loss."""
    terms = parse(args.loss)
    names, weights = list(terms.names), list(terms.weights)
    if terms.free:
        names, weights = ["sigmoid"], [1.0]  # TRL computes its figures; the loss is replaced
    elif sft := sft_weight(args):
        names, weights = [*names, "sft"], [*weights, sft]
    smoothing = EXO_SMOOTHING if "exo_pair" in names else 0.0
    return {
        "beta": args.measured_beta,
        "loss_type": names,
        "loss_weights": weights if len(names) > 1 or weights != [1.0] else None,
        "label_smoothing": args.flip_rate or smoothing,
        "ld_alpha": 0.5 if args.length_desensitized else None,
    }


def notes(args: LossArguments) -> list[str]:
    """Return what is worth knowing of the loss before a training, in sentences."""
    free = parse(args.loss).free
    if free is None:
        return [*_sft_note(args)]
    said = [
        f"{free} needs no reference. Its results are measured as DPO's: rewards are {MEASURED_BETA}"
        " times the log-probability, less that under the base model."
    ]
    if free == "orpo":
        said.append(
            "orpo includes the prompt in the likelihood: each distinct prompt of a batch is"
            " computed once more."
        )
    if free == "simpo" and args.beta < SIMPO_BETA:
        said.append(f"SimPO's authors used --beta {SIMPO_BETA:g} or more; this is {args.beta:g}.")
    return said


def _sft_note(args: LossArguments) -> Iterator[str]:
    if args.sft_weight is None and args.loss in WITH_SFT:
        if _weighs_pairs(args):
            yield "Pairs have weights, so the loss takes no --sft-weight. Fewer answers may end."
        else:
            yield (
                f"The likelihood of preferred answers counts {SFT_WEIGHT:g} in the loss, so that"
                " answers end (without: --sft-weight 0)."
            )


class FreeLoss:
    """One of the losses without a reference model, as TRL computes it."""

    def __init__(self, name: str, beta: float, likelihood: float, accelerator: "Accelerator"):
        self.name, self._trainer = name, trainer_of(name)
        self._likelihood = CPO_ALPHA if name == "cpo" else likelihood
        self._settings = SimpleNamespace(
            beta=beta,
            loss_type="simpo" if name == "simpo" else "sigmoid",
            simpo_gamma=SIMPO_GAMMA,
            label_smoothing=0.0,
            alpha=0.0,
            accelerator=accelerator,
        )

    @classmethod
    def of(cls, args: LossArguments, accelerator: "Accelerator") -> "FreeLoss | None":
        name = parse(args.loss).free
        return cls(name, args.beta, sft_weight(args), accelerator) if name else None

    @property
    def needs_prompt(self) -> bool:
        """Whether the likelihood of chosen answers includes their prompts, as ORPO's does."""
        return self.name == "orpo"

    def __call__(
        self, log_probs: "torch.Tensor", mask: "torch.Tensor", whole: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """Return the loss of a batch in TRL's shape, (2P, L - 1): chosen, then rejected.

        `log_probs` are 0 where `mask` is; `whole` is the mean negative log-probability of the
        chosen sequences with their prompts, where it is needed.
        """
        lengths, sums = mask.sum(1), log_probs.sum(1)
        chosen, rejected = (sums if self.name == "cpo" else sums / lengths).chunk(2)
        if self.name == "orpo":
            assert whole is not None
            losses = self._trainer.odds_ratio_loss(self._settings, chosen, rejected)[0]
            return whole - losses.mean()
        losses = self._trainer.cpo_loss(self._settings, chosen, rejected)[0]
        pairs = len(mask) // 2
        likelihood = -log_probs[:pairs].sum() / lengths[:pairs].sum()
        return losses.mean() + self._likelihood * likelihood


def trainer_of(name: str) -> Any:
    """Return TRL's trainer with this loss. Raises PalateError where this TRL has none."""
    kind = "orpo" if name == "orpo" else "cpo"
    with warnings.catch_warnings():  # the notice that it is experimental, which docs/methods.md has
        warnings.simplefilter("ignore")
        try:
            module = __import__(f"trl.experimental.{kind}", fromlist=[FREE[name]])
            return getattr(module, FREE[name])
        except (ImportError, AttributeError):
            raise PalateError(
                f"TRL {version('trl')} has no {FREE[name]} in its experimental part, which --loss"
                f" {name} computes with. Install one that has: pip install 'trl>=1.16,<2'"
            ) from None


def strength_columns(rows: Sequence[Preference], strength: Strength) -> dict[str, list[float]]:
    """Return the columns that `--strength` adds to the training rows.

    `margin` is the reward margin to reach, 1 for "much better" to 0 for "barely" (H. Touvron et
    al., "Llama 2", 2023, section 3.2.2), which DPO takes as an offset (A. Amini et al., "Direct
    Preference Optimization with an Offset", 2024). `weight` has a mean of 1.
    """
    if strength == "off":
        return {}
    if not any(r.strength for r in rows):
        raise UsageError(f"--strength {strength}: no preference says how strong it is.")
    if strength == "offset":
        return {"margin": [r.margin for r in rows]}
    raw = [0.25 + r.margin for r in rows]  # barely better still counts
    mean = sum(raw) / len(raw)
    return {"weight": [x / mean for x in raw]}
