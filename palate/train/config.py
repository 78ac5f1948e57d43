"""The arguments of trainings of models that write: command line and part of the record at once.

tyro turns each field into a flag, and the text below the field into the flag's help.
"""

import math
import shlex
from dataclasses import asdict, dataclass, fields
from typing import Annotated, ClassVar, Literal

import tyro

from palate.core.errors import UsageError
from palate.terminal.flags import Count, ModelRef, Number, ProjectId, Repo, Switch, flag
from palate.train.trainers.losses import MEASURED_BETA, Strength, parse

Method = Literal["full", "lora", "qlora"]
BatchMode = Literal["tree", "rows", "trl"]
WHOLE = "ddp"  # the accelerate configuration in which every process holds the whole model

FLAGS = {"source": "from"}  # fields that cannot have their flag's name
OF_BEST = ("n", "rounds", "reward", "measured_by", "temperature", "max_new_tokens")
# These do not change the weights: a run that was interrupted continues when they differ.
IDENTITY_EXCLUDED = frozenset(
    {"project", "output", "public", "recipe", "accumulate", "processes", "checkpoint_to_hub"}
    | {"trackio", "ignore_audit", "reckless"}
)


@dataclass(frozen=True)
class TrainArguments:
    """What DPO and SFT share."""

    NAME: ClassVar[str]
    """As the job is typed: train."""

    project: ProjectId
    """Project, such as me/titles. me/titles@COMMIT trains on an earlier state of it."""
    base_model: ModelRef = None
    """Model to train. Default: the project's base model."""
    aspect: Annotated[str | None, flag("NAME")] = None
    """Aspect of the project to learn. Default: all, by their weights (docs/aspects.md)."""
    method: Annotated[Method | Literal["probe"] | None, flag("full|lora")] = None
    """What is trained."""
    learning_rate: Number = None
    """Peak learning rate."""
    epochs: float = 3.0
    """Passes over the training rows."""
    batch_size: Count = None
    """Rows per optimizer step."""
    accumulate: Count = None
    """Parts in which a batch is computed. Doubled automatically when memory runs out."""
    max_length: int = 1024
    """Tokens of prompt and answer. Longer rows are left out, counted and listed."""
    gradient_checkpointing: Switch = None
    """Compute activations twice to save memory. Default: on a GPU, from 1 B parameters."""
    checkpoint_to_hub: bool = False
    """Keep the last checkpoint in the model's repo as well, in case the machine is lost."""
    annotators: Annotated[str | None, flag("NAME[,NAME…]")] = None
    """Learn from the labels of these people alone, by the names in `palate agreement`."""
    ignore_audit: bool = False
    """Train even if the audit finds something fatal. The card says so."""
    processes: int = 1
    """Processes that train together on this machine, one per GPU."""
    accelerate: Annotated[str, tyro.conf.arg(metavar="ddp|fsdp2|zero3|FILE")] = WHOLE
    """How processes share the model: ddp (each holds all), fsdp2, zero3, or an accelerate file."""
    seed: int = 0
    """Seed of the row order and of the adapter's first weights."""
    output: Repo = None
    """Model repo to push to. Default: the project's own."""
    public: bool = False
    """Make the model repo public if it is created now; it is private otherwise."""

    def command(self) -> str:
        """Return the `palate` command that repeats the run, without flags at their defaults."""
        words = ["palate", self.NAME, self.project]
        for f in fields(self):
            name = FLAGS.get(f.name, f.name.replace("_", "-"))
            value, flag_name = getattr(self, f.name), f"--{name}"
            if value is True and f.default is False:
                words.append(flag_name)
            elif f.name != "project" and value != f.default:
                words += [flag_name, str(value)]
        return shlex.join(words)

    def identity(self) -> dict[str, object]:
        """Return the arguments that decide the weights; those about people only where given."""
        left_out = {n for n in ("aspect", "annotators") if not getattr(self, n)} | IDENTITY_EXCLUDED
        return {k: v for k, v in asdict(self).items() if k not in left_out}


@dataclass(frozen=True)
class DPOArguments(TrainArguments):
    """The arguments of `palate train`."""

    NAME = "train"

    method: Annotated[Method | None, flag("full|lora|qlora")] = None
    """Train all weights, an adapter, or an adapter on weights in four bits. Default: what fits."""
    learning_rate: Number = None
    """Peak learning rate. Default: 3e-5 for full, 2e-4 for an adapter, less from 0.14 B on."""
    batch_size: Count = None
    """Pairs per optimizer step. Default: those of four prompts."""
    beta: float = 0.1
    """How firmly the model is held to the base model. Higher changes it less."""
    loss: Annotated[str, flag("NAME[:WEIGHT],…")] = "sigmoid"
    """TRL's loss, or a sum: sigmoid:0.8,sft:1. robust allows for wrong labels (docs/methods.md)."""
    flip_rate: Number = None
    """Share of wrong labels, for --loss robust. Default: measured by repeats and checks."""
    strength: Strength = "off"
    """Use answer strength: as an offset of the reward margin, or as the weight of a pair."""
    length_desensitized: bool = False
    """Halve the credit for extra length, so that the model does not just learn to write more."""
    sft_weight: Number = None
    """Weight of the preferred answers' likelihood, so that answers end. Default: 0.1 for DPO."""
    ai: bool = False
    """Also train on a judge's answers (judge --labels), weighted by its agreement with people."""
    ai_weight: Number = None
    """Weight of a judge's answer; a person's has 1. Default: twice its agreement, less one."""
    no_implied: bool = False
    """Leave out preferences that were inferred from other answers."""
    recipe: Annotated[Literal["search", "fast"] | None, flag("search|fast")] = None
    """Try recipes on part of the train prompts (search), or none (fast); see docs/recipes.md."""
    batches: BatchMode = "tree"
    """Compute each prompt once (tree), each completion once (rows), or use TRL's pairs (trl)."""
    trackio: bool = False
    """Log to Trackio as well as to metrics.jsonl."""
    reckless: bool = False
    """Allow a learning rate that is known to ruin adapters."""

    def identity(self) -> dict[str, object]:
        """Return the arguments that decide the weights; those of --ai only where they do."""
        unused = () if self.ai else ("ai", "ai_weight")
        return {k: v for k, v in super().identity().items() if k not in unused}

    @property
    def measured_beta(self) -> float:
        """The β of the rewards that are measured: DPO's, whatever β another loss has."""
        return MEASURED_BETA if parse(self.loss).free else self.beta


@dataclass(frozen=True)
class SFTArguments(TrainArguments):
    """The arguments of `palate sft`."""

    NAME = "sft"

    method: Annotated[Literal["full", "lora"] | None, flag("full|lora")] = None
    """Train all weights, or an adapter that is merged at the end. Default: what fits."""
    learning_rate: Number = None
    """Peak learning rate. Default: 1e-5 for full, 1e-4 for an adapter."""
    epochs: float = 2.0
    """Passes over the training rows. The best checkpoint may come from an earlier one."""
    batch_size: Count = None
    """Answers per optimizer step. Default: 8."""
    output: Repo = None
    """Model repo to push to. Default: me/titles-sft for me/titles."""
    hindsight: bool = False
    """Learn from words that say which answer is better (Chain of Hindsight)."""
    source: Annotated[Literal["labels", "best"], tyro.conf.arg(name="from")] = "labels"
    """What is learned: answers that people preferred (labels), or a reward's best of n (best)."""
    n: Count = None
    """With --from best: answers per prompt, of which the reward chooses one. Default: 8."""
    rounds: Count = None
    """With --from best: how often the newest model writes and learns. Default: 2."""
    reward: ModelRef = None
    """With --from best: reward model that chooses. Default: the project's newest."""
    measured_by: ModelRef = None
    """With --from best: reward model that measures. Default: the one that chooses."""
    temperature: Number = None
    """With --from best: sampling temperature. Default: 0.7."""
    max_new_tokens: Count = None
    """With --from best: longest answer, in tokens. Longer answers are not learned. Default: 256."""

    def identity(self) -> dict[str, object]:
        """Return the arguments that decide the weights; those of --from best only where they do."""
        unused = () if self.source == "best" else ("source", *OF_BEST)
        unused = unused if self.hindsight else (*unused, "hindsight")
        return {k: v for k, v in super().identity().items() if k not in unused}


def check_sft(args: SFTArguments) -> None:
    """Raise UsageError for arguments that cannot work on any machine."""
    if args.source == "labels":
        for name in OF_BEST:
            if getattr(args, name) is not None:
                raise UsageError(
                    f"--{name.replace('_', '-')} is for --from best: without it, palate sft learns"
                    " the answers that people preferred."
                )
        return
    if args.hindsight:
        raise UsageError(
            "--hindsight learns from pairs that people compared, and --from best from answers that"
            " the reward chose. Use one."
        )
    if args.rounds is not None and args.rounds < 1:
        raise UsageError(f"--rounds {args.rounds}: expected 1 or more.")
    if args.processes > 1 or args.accelerate != WHOLE or args.checkpoint_to_hub:
        raise UsageError(
            "--from best writes and trains in turns, in one process. Leave out --processes,"
            " --accelerate and --checkpoint-to-hub."
        )


@dataclass(frozen=True)
class KTOArguments(TrainArguments):
    """The arguments of `palate kto`."""

    NAME = "kto"

    method: Annotated[Method | None, flag("full|lora|qlora")] = None
    """Train all weights, an adapter, or an adapter on weights in four bits. Default: what fits."""
    learning_rate: Number = None
    """Peak learning rate. Default: as for `palate train`."""
    batch_size: Count = None
    """Answers per optimizer step. Default: 16."""
    beta: float = 0.1
    """How firmly the model is held to the base model. Higher changes it less."""
    good_weight: Number = None
    """Weight of a good answer's loss. Default: from the counts, so that both kinds weigh alike."""
    bad_weight: Number = None
    """Weight of a bad answer's loss. Default: from the counts, so that both kinds weigh alike."""
    output: Repo = None
    """Model repo to push to. Default: me/titles-kto for me/titles."""


@dataclass(frozen=True)
class RLArguments(TrainArguments):
    """The arguments of `palate rl`."""

    NAME = "rl"

    method: Annotated[Literal["full", "lora"] | None, flag("full|lora")] = None
    """Train all weights, or an adapter. Default: what fits."""
    learning_rate: Number = None
    """Peak learning rate. Default: 1e-5 for full, 1e-4 for an adapter, less from 0.14 B on."""
    epochs: float = 8.0
    """How often each train prompt is answered and learned from."""
    batch_size: Count = None
    """Answers per optimizer step. Default: 32."""
    n: int = 4
    """Answers to a prompt, which are compared with one another."""
    beta: float = 0.25
    """Penalty per nat away from the base model, in reward deviations. Higher changes it less."""
    reward: ModelRef = None
    """Reward model that is raised. Default: the project's newest."""
    held_out: ModelRef = None
    """Reward model that measures, and stops the run. Default: fitted on labels of test prompts."""
    halves: bool = False
    """Fit two rewards, each on half of the train prompts: one is raised, the other measures."""
    max_new_tokens: int = 128
    """Longest answer, in tokens. Answers that are cut lose reward."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """What writes the answers that are learned from. vllm is faster on a GPU."""
    output: Repo = None
    """Model repo to push to. Default: me/titles-rl for me/titles."""


def check_rl(args: RLArguments) -> None:
    """Raise UsageError for arguments that cannot work on any machine."""
    if args.processes > 1 or args.accelerate != WHOLE:
        raise UsageError(
            "RL writes and learns in turns, in one process. Leave out --processes and --accelerate;"
            " --engine vllm writes faster."
        )
    if args.n < 2:
        raise UsageError(
            f"--n {args.n}: RLOO compares each answer with others to the same prompt. Expected 2 or"
            " more, such as 4."
        )
    if args.batch_size is not None and (args.batch_size < args.n or args.batch_size % args.n):
        raise UsageError(
            f"--batch-size {args.batch_size} does not hold all {args.n} answers of each prompt."
            f" Choose a multiple of --n, such as {max(2, args.batch_size // args.n) * args.n}."
        )
    if not args.epochs > 0:
        raise UsageError(f"--epochs {args.epochs:g}: expected more than 0, such as 8.")
    if args.halves and (args.held_out or args.reward):
        raise UsageError("--halves fits both rewards. Leave out --reward and --held-out.")
    if not 0 < args.beta < math.inf:
        raise UsageError(
            f"--beta {args.beta:g}: expected more than 0. Without a penalty the model exploits what"
            " the reward gets wrong."
        )
    if not 0 < args.max_new_tokens < args.max_length:
        raise UsageError(
            f"--max-new-tokens {args.max_new_tokens}: expected 1 or more, and fewer than"
            f" --max-length {args.max_length}, which includes the prompt."
        )
