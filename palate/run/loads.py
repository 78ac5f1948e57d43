"""What each job needs of a machine, and what is checked of a training before one is paid for."""

import math
from collections.abc import Sequence
from dataclasses import replace

from palate.check.config import CheckArguments
from palate.check.rules import instructions
from palate.core.errors import UsageError
from palate.core.project import Project
from palate.core.rounds import check_aspect, writer_of
from palate.core.schema import Message, Preference
from palate.evaluate.config import JudgeArguments
from palate.evaluate.loading import pairs_to_compare
from palate.generate import engines
from palate.generate.completions import divided, eval_prompts
from palate.generate.config import CandidatesArguments, CompletionsArguments
from palate.generate.models import parameters, trainable_parameters
from palate.generate.shards import Shard
from palate.pack.comparing import PROMPTS, TOKENS
from palate.pack.config import PackArguments
from palate.report import judge_labels, judges, principles
from palate.reward import held_out, rejection
from palate.reward import rows as reward_rows
from palate.reward.config import BestArguments, RewardArguments
from palate.reward.record import RewardRecord, RLRecord
from palate.reward.scoring import reward_name, reward_names
from palate.run import forecast, processes
from palate.run.forecast import Flavor, Load
from palate.run.spec import Training
from palate.terminal.console import PlainConsole
from palate.train import dpo, sft
from palate.train.config import (
    WHOLE,
    DPOArguments,
    KTOArguments,
    RLArguments,
    SFTArguments,
    TrainArguments,
)
from palate.train.recipes import recipe
from palate.train.records.record import DPORecord, KTORecord, SFTRecord
from palate.train.rows.data import Rows, audit, preferred_answers, read_preferences
from palate.train.rows.unpaired import read_unpaired


def candidates_load(args: CandidatesArguments, project: Project) -> Load:
    models = args.model or (writer_of(project),)
    local = [model for model in models if not engines.is_remote(model, args.engine)]
    if not local:
        return forecast.asking()
    prompts = sum(p.split != "eval" for p in project.prompts)
    shards = Shard.parse(args.shard).of if args.shard else 1
    return forecast.writing(
        math.ceil(prompts * args.per_prompt * len(local) / shards),
        args.batch_size,
        args.max_new_tokens,
        max(map(parameters, local)),
        gpus=args.tensor_parallel,
    )


def completions_load(args: CompletionsArguments, project: Project) -> Load:
    _, named = divided(args, project)
    others = [m for m in named if not engines.is_remote(m, args.engine)]
    return forecast.writing(
        (2 + len(others)) * len(eval_prompts(project)) * args.per_prompt,
        args.batch_size,
        args.max_new_tokens,
        parameters(project.settings.base_model),
        models=2,
    )


def judge_load(args: JudgeArguments, project: Project) -> Load:
    if engines.is_remote(args.model, args.engine):
        return forecast.asking()
    if args.principles:
        labels = principles.labels_of(project)[1][: args.pairs or principles.TESTS]
        pairs = principles.RULES * len(labels)
    elif args.labels:
        pairs = len(judge_labels.train_pairs(project)[: args.pairs])
    else:
        pairs = args.pairs or len(pairs_to_compare(project).pairs)
    size = parameters(args.model)
    return forecast.writing(2 * pairs, args.batch_size, judges.REPLY_TOKENS, size)


def dpo_load(args: DPOArguments, project: Project) -> Load:
    rows = dpo.read(project, args)[0]
    texts = [[_text(r.prompt), _text(r.chosen), _text(r.rejected)] for r in rows.train]
    return forecast.training(args, _size(args, project), texts)


def sft_load(args: SFTArguments, project: Project) -> Load:
    if args.source == "best":
        return _rejection_load(args, project)
    preferences = read_preferences(project, implied=False, together=not args.aspect)
    rows = sft.rows_of(args, project.id, preferences)
    texts = [[_text(r.prompt), _text(r.completion)] for r in rows.train]
    return forecast.imitating(args, _size(args, project), texts)


def rl_load(args: RLArguments, project: Project) -> Load:
    prompts = [p for p in project.prompts if p.split == "train"]
    size, longest = _size(args, project), args.max_new_tokens
    batch = args.batch_size or recipe.RL_BATCH_ANSWERS
    texts = math.ceil(args.epochs * len(prompts)) * args.n
    written = forecast.writing(texts, batch, longest, size, models=2)
    answer = "x" * (longest * forecast.CHARACTERS_PER_TOKEN)
    # an answer is read once to learn and twice for the divergence; each costs a third of learning
    learned = [[p.text, answer] for p in prompts] * args.n
    return _both(written, forecast.imitating(args, size, learned), more=2 / 3)


def _both(written: Load, trained: Load, more: float = 0.0) -> Load:
    """Return what a job needs that writes and trains; `more` is what reading adds to training."""
    return replace(
        trained,
        what=f"{written.what}, {trained.what}",
        operations=trained.operations * (1 + more),
        reads=written.reads,
        operations_per_read=written.operations_per_read,
        weights=written.weights,
        moved=trained.moved + written.moved,
    )


def check_rl(args: RLArguments, project: Project, flavor: Flavor) -> None:
    labels = read_preferences(project, implied=False)
    audit(PlainConsole(quiet=True), project, labels, ignore=args.ignore_audit)
    check_aspect(project, args.aspect)
    reward_name(args.reward, project)
    if args.halves:
        held_out.halves(project, args.seed)
    elif args.held_out is None:
        held_out.test_labels(project)
    prompts = sum(p.split == "train" for p in project.prompts)
    recipe.choose_rl_recipe(args, _size(args, project), prompts, _machine(args, flavor))
    if args.engine == "vllm" and flavor.gpu is None:
        raise UsageError(
            f"--engine vllm writes on a GPU, and {flavor.name} has none. Choose another --flavor,"
            " or leave --engine out."
        )


def _rejection_load(args: SFTArguments, project: Project) -> Load:
    plan, rounds = rejection.plan_of(args), args.rounds or rejection.ROUNDS
    longest, size = plan.sampling.max_new_tokens, _size(args, project)
    train, test = ([p for p in project.prompts if p.split == s] for s in ("train", "test"))
    texts = plan.n * (rounds * len(train) + (rounds + 1) * len(test))
    written = forecast.writing(texts, plan.batch_size, longest, size, models=2)
    answer = "x" * (longest * forecast.CHARACTERS_PER_TOKEN)
    learned = [[p.text, answer] for p in train] * rounds
    return _both(written, forecast.imitating(args, size, learned))


def kto_load(args: KTOArguments, project: Project) -> Load:
    check_aspect(project, args.aspect)
    rows, _ = read_unpaired(project)
    # each answer is read with its own prompt and, for the divergence, with another one
    texts = [[_text(r.prompt), _text(r.completion)] for r in rows.train] * 2
    return forecast.imitating(args, _size(args, project), texts)


def check_kto(args: KTOArguments, project: Project, flavor: Flavor) -> None:
    _check_sharing(args, flavor)
    read_unpaired(project)
    recipe.choose_kto_recipe(args, _size(args, project), _machine(args, flavor))


def _audit(args: DPOArguments | SFTArguments, project: Project, rows: Rows[Preference]) -> None:
    quiet, together = PlainConsole(quiet=True), not args.aspect
    audit(quiet, project, rows, ignore=args.ignore_audit, together=together)


def check_dpo(args: DPOArguments, project: Project, flavor: Flavor) -> None:
    _check_sharing(args, flavor)
    rows = dpo.read(project, args)[0]
    _audit(args, project, rows)
    prompts = [r.prompt_id for r in rows.train]
    recipe.choose_recipe(args, _size(args, project), prompts, _machine(args, flavor))


def check_sft(args: SFTArguments, project: Project, flavor: Flavor) -> None:
    _check_sharing(args, flavor)
    preferences = read_preferences(project, implied=False, together=not args.aspect)
    _audit(args, project, preferences)
    if args.source == "best":
        reward_names(args.reward or (args.aspect and project.reward_repo), project)
    else:
        preferred_answers(project.id, preferences)
    chosen = recipe.choose_sft_recipe(args, _size(args, project), _machine(args, flavor))
    recipe.check_mergeable(chosen.method, is_sharded=args.accelerate != WHOLE)


def best_load(args: BestArguments, project: Project) -> Load:
    return forecast.writing(
        args.n * len(eval_prompts(project)),
        min(args.n, args.batch_size),
        args.max_new_tokens,
        parameters(args.model or project.settings.base_model),
        models=2,
    )


def pack_load(args: PackArguments, project: Project) -> Load:
    return forecast.writing(PROMPTS, 1, TOKENS, parameters(project.settings.base_model))


def check_load(args: CheckArguments, project: Project) -> Load:
    size = parameters(project.settings.base_model)
    texts = 2 * len(instructions())
    return forecast.writing(texts, args.batch_size, args.max_new_tokens, size, models=2)


def reward_load(args: RewardArguments, project: Project) -> Load:
    check_aspect(project, args.aspect)
    rows = read_preferences(project, implied=False)
    if args.method == "probe":
        sides = {(_text(r.prompt), _text(s)) for r in rows.train for s in (r.chosen, r.rejected)}
        return forecast.scoring(_size(args, project), sides)
    texts = [[_text(r.prompt), _text(side)] for r in rows.train for side in (r.chosen, r.rejected)]
    return forecast.imitating(args, _size(args, project), texts)


def check_reward(args: RewardArguments, project: Project, flavor: Flavor) -> None:
    _check_sharing(args, flavor)
    rows = reward_rows.read(project)
    labels = replace(rows, train=reward_rows.decided(rows.train))
    audit(PlainConsole(quiet=True), project, labels, ignore=args.ignore_audit)
    if args.method != "probe":
        prompts = [r.prompt_id for r in rows.train]
        recipe.choose_reward_recipe(args, _size(args, project), prompts, _machine(args, flavor))
        recipe.check_mergeable(args.method, is_sharded=args.accelerate != WHOLE)


def _check_sharing(args: TrainArguments, flavor: Flavor) -> None:
    names = processes.names()
    if args.accelerate not in names:
        raise UsageError(
            f"HF Jobs does not see the file {args.accelerate}; expected one of {', '.join(names)}."
        )
    if args.accelerate != WHOLE and not flavor.gpus:
        raise UsageError(
            f"--accelerate {args.accelerate} shards a model over GPUs, and {flavor.name} has none."
            " Choose another --flavor, or leave --accelerate out."
        )


def _machine(args: TrainArguments, flavor: Flavor) -> recipe.Machine:
    cuda = flavor.gpu is not None
    return recipe.Machine(
        flavor.name,
        flavor.memory,
        cuda,
        bf16=cuda and flavor.gpu != "T4",
        quantizes=cuda,
        processes=args.processes,
    )


def _size(args: TrainArguments, project: Project) -> int:
    return trainable_parameters(args.base_model or project.settings.base_model)


def _text(messages: Sequence[Message]) -> str:
    return "\n".join(m["content"] for m in messages)


def dpo_result(run: DPORecord) -> str:
    accuracy = run.results.test_reward_accuracy
    return "" if accuracy is None else f"accuracy {100 * accuracy:.1f}%"


def sft_result(run: SFTRecord) -> str:
    loss = run.results.test_loss
    return "" if loss is None else f"test loss {loss:.3f}"


def kto_result(run: KTORecord) -> str:
    share = run.results.separation
    return "" if share is None else f"good above bad {100 * share:.1f}%"


def rl_result(run: RLRecord) -> str:
    reward = run.results.reward
    return "" if reward is None else f"reward {reward.base:+.2f} → {reward.tuned:+.2f}"


def reward_result(run: RewardRecord) -> str:
    rate = run.results.accuracy.rate
    return "" if rate is None else f"accuracy {100 * rate:.1f}%"


DPO = Training(preflight=check_dpo, suffix="-dpo", result=dpo_result, load=dpo_load)
SFT = Training(preflight=check_sft, suffix="-sft", result=sft_result, load=sft_load)
KTO = Training(preflight=check_kto, suffix="-kto", result=kto_result, load=kto_load)
RL = Training(preflight=check_rl, suffix="-rl", result=rl_result, load=rl_load)
REWARD = Training(preflight=check_reward, suffix="-reward", result=reward_result, load=reward_load)
