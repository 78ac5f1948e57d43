"""A reward model from a project to a saved model: read, audit, fit or train, measure, record.

Nothing is pushed here: the job does that with what `run` returns.
"""

from dataclasses import replace

import numpy as np
from rich.console import Console

from palate.core.rounds import check_aspect
from palate.core.schema import Preference
from palate.core.typed import read_object
from palate.generate import models
from palate.label.strategies import NOTES_VERSION, RewardNotes
from palate.reward import classifier, features, figures, notes, probe
from palate.reward.config import RewardArguments, check
from palate.reward.figures import Scored
from palate.reward.record import VERSION, ProbeFacts, RewardRecord
from palate.reward.rows import Answers, decided, read
from palate.train import job
from palate.train.job import Clock, Job, RunDir
from palate.train.recipes.recipe import Machine, Recipe, choose_reward_recipe
from palate.train.records import facts
from palate.train.rows import data, people
from palate.train.rows.data import Rows, test_rules

RewardJob = Job[RewardArguments, Preference]


def run(console: Console, args: RewardArguments) -> RewardJob:
    """Fit or train, and return the finished job."""
    prepared = prepare(console, args)
    job.train(console, prepared, probed if args.method == "probe" else trained)
    return prepared


def prepare(console: Console, args: RewardArguments) -> RewardJob:
    """Read and audit the data; decide what the arguments leave open.

    Raises UsageError for arguments that cannot work, PalateError for data that are not fit.
    """
    check(args)
    project, args = people.chosen(console, job.project_of(args), args)
    check_aspect(project, args.aspect)
    rows = read(project)
    labels = replace(rows, train=decided(rows.train))
    findings = data.audit(console, project, labels, ignore=args.ignore_audit)
    base = models.find(args.base_model or project.settings.base_model)
    weights = base.base or base
    config = read_object(weights.folder / "config.json", f"{weights.repo}/config.json")
    architectures = config.get("architectures")
    classifier.check_base(
        base.repo,
        config.get("model_type"),
        architectures if isinstance(architectures, list) else [],
    )
    recipe = _recipe(args, base, rows)
    arguments = job.decided(args, project, base, recipe, project.reward_repo)
    if args.method == "probe":  # has neither rate nor batches
        arguments = replace(arguments, method="probe", learning_rate=None, batch_size=None)
    run_dir = RunDir(project.id, rows.key(), "reward", arguments.identity())
    return Job(arguments, recipe, project, rows, base, findings, run_dir)


def _recipe(args: RewardArguments, base: models.Source, rows: Rows[Preference]) -> Recipe:
    if args.method == "probe":
        return Recipe("full", 0.0, 1, 1, False, False, ())
    prompts = [r.prompt_id for r in rows.train]
    return choose_reward_recipe(args, base.parameters, prompts, Machine.here())


def probed(console: Console, prepared: RewardJob) -> None:
    """Fit a head on frozen features, and leave model and record in `run_dir.model`."""
    args, clock = prepared.args, Clock(prepared.run_dir)
    loaded, rows = job.load(console, prepared)
    answers = Answers.of([*rows.train, *rows.test])
    others, n = notes.others(prepared.project, answers), len(answers.chats)
    texts = features.chats(loaded.tokenizer, [*answers.chats, *others.values()])
    config = loaded.model.config.get_text_config()
    with console.status(f"Computing the features of {len(texts):,} answers"):
        prompts = [*answers.prompts, *(prompt for prompt, _ in others)]
        extracted = features.extract(loaded, texts, prompts, [features.middle(config)])
    train = answers.pairs(rows.train, args.margin)
    with console.status("Choosing the penalty on folds by prompt"):
        leads = probe.held_out_scores(extracted, train, args.seed)
        choice = probe.choose(extracted, train, args.seed)
    fitted = probe.fitted(extracted, train, choice)
    folder = prepared.run_dir.model
    classifier.with_head(loaded, fitted).save_pretrained(folder)
    loaded.tokenizer.padding_side = "right"
    loaded.tokenizer.save_pretrained(folder)
    expected = fitted.scores(extracted)[:n]
    with console.status("Comparing the saved model with the probe"):
        classifier.check_saved(folder, answers.chats, expected)
    layers = config.num_hidden_layers
    where = ProbeFacts(choice.layer, layers, choice.penalty, tuple(extracted))
    console.print(f"  head on layer {choice.layer} of {layers}, penalty {choice.penalty:g}")
    measured = measure(prepared, rows, answers, expected, leads)
    # of everybody in the first aspect decides what people are asked; else it is an experiment
    first = next(iter(prepared.project.settings.aspects), None)
    own = args.output in (None, prepared.project.reward_repo)
    if own and args.aspect == first and args.annotators is None:
        choices = np.array([r.source != "tie" for r in rows.train])
        doubts = notes.doubts(decided(rows.train), leads[choices], measured.temperature)
        places = answers.places | {key: n + i for i, key in enumerate(others)}
        vectors = notes.vectors(prepared.project, places, extracted[choice.layer], train.answers())
        round_ = prepared.project.settings.round
        kept = RewardNotes(NOTES_VERSION, round_, doubts, choice.penalty, vectors)
        notes.keep(prepared.run_dir, kept)
    finish(prepared, clock, rows, measured, where, len(fitted.weights), n)


def trained(console: Console, prepared: RewardJob) -> None:
    """Train by TRL, and leave model and record in `run_dir.model`."""
    from palate.reward.trainer import train

    begun, loaded, rows, first, trainable = train(console, prepared)
    if not job.is_main_process():
        return
    answers = Answers.of([*rows.train, *rows.test])
    texts = features.chats(loaded.tokenizer, answers.chats)
    model, tokenizer = classifier.load(prepared.run_dir.model)
    scores = classifier.scores(model, tokenizer.pad_token_id, texts)
    measured = measure(prepared, rows, answers, scores, None)
    finish(prepared, begun.clock, rows, measured, first, trainable, len(texts))


def measure(
    prepared: RewardJob,
    rows: Rows[Preference],
    answers: Answers,
    scores: np.ndarray,
    leads: np.ndarray | None,
) -> figures.RewardResults:
    """Return the figures; `leads` are those of the train rows by probes of other folds."""
    seed = prepared.args.seed
    decisions = decided(rows.train)
    seen = Scored(decisions, _leads(answers.pairs(decisions, "off"), scores))
    test = Scored(rows.test, _leads(answers.pairs(rows.test, "off"), scores))
    if leads is None:
        held, rules = test, test_rules(replace(rows, train=decisions))
    else:
        choices = np.array([r.source != "tie" for r in rows.train])
        held = Scored([*decisions, *test.rows], np.concatenate([leads[choices], test.leads]))
        parts = probe.folds([r.prompt_id for r in rows.train], seed)
        rules = figures.rules_by_fold(decisions, rows.test, parts)
    explained = figures.length_explains(scores, answers.lengths, answers.prompts)
    return figures.results(held, test, seen, rules, explained, seed, folds=leads is not None)


def _leads(pairs: probe.Pairs, scores: np.ndarray) -> np.ndarray:
    return scores[pairs.first] - scores[pairs.second]


def finish(
    prepared: RewardJob,
    clock: Clock,
    rows: Rows[Preference],
    results: figures.RewardResults,
    where: ProbeFacts | None,
    trainable: int,
    answers: int,
) -> None:
    """Write the record; its existence says that the job is over."""
    ties = len(rows.train) - len(train := decided(rows.train))
    common = facts.common("reward", prepared, clock, trainable)
    common |= {"version": VERSION, "method": prepared.args.method}
    own = prepared.args.method == "probe"
    run = RewardRecord(
        **common,
        data=facts.dpo_data(prepared.project, replace(rows, train=train), prepared.args.aspect),
        ties=ties,
        answers=answers,
        probe=where if own else None,
        results=results,
        alarms=figures.alarms(results),
        begun_with=None if own else where,
    )
    run.save(prepared.run_dir.model)
