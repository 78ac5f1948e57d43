"""Rejection sampling: SFT on the best of n answers, chosen by the reward, in several rounds.

Each round the newest model writes n answers to every train prompt and learns the best ones: H. Dong
et al., "RAFT" (2023). After each round it answers the test prompts, which it never learns from and
which choose nothing. The run's folder has, in addition to each round's own:

answers.jsonl   what was written, a line per prompt, added as it is written
"""

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from palate.core import paths
from palate.core.errors import UsageError
from palate.core.markdown import count
from palate.core.schema import Model, Prompt
from palate.generate import models
from palate.generate.generation import Sampling
from palate.reward.best import Plan, Writer, say_other_base
from palate.reward.config import BestArguments, check_n
from palate.reward.scoring import Reward, reward_lines, rewards_of, with_its_people
from palate.reward.written import Line, Log
from palate.terminal.progress import Progress
from palate.train import job, sft
from palate.train.config import SFTArguments
from palate.train.job import Clock, RunDir
from palate.train.recipes.recipe import Machine, choose_sft_recipe
from palate.train.records import record
from palate.train.records.best import BestFacts, Mean, RoundFacts
from palate.train.records.record import FILE, SFTRecord
from palate.train.rows import data, people
from palate.train.rows.data import Answer, Rows, read_preferences
from palate.train.sft import SFTJob

N, ROUNDS = 8, 2
ANSWERS = "answers.jsonl"


@dataclass(frozen=True)
class Loop:
    """A run: its job, without rows, its rewards, and its prompts."""

    job: SFTJob
    chooses: Reward
    measures: Reward
    plan: Plan
    rounds: int
    train: list[Prompt]
    test: list[Prompt]

    def run(self, console: Console) -> None:
        """Leave model, answers and record in the job's folder, from whatever exists."""
        folder, clock = self.job.run_dir, Clock(self.job.run_dir)
        log, model = Log(folder.path / ANSWERS), self.job.base
        history: list[RoundFacts] = []
        learned: list[int] = []
        for number in range(self.rounds + 1):
            self.write(console, log, number, model)
            clock.save()
            if self.test:
                answers = learned[-1] if learned else 0
                history.append(self.measured(log, number, answers))
                self.tell(console, number, history[-1])
            if number < self.rounds:
                rows = self.chosen(log, number)
                learned.append(len(rows.train))
                model = self.learn(console, number + 1, model, rows)
                clock.save()
        rewards = (Model(s.repo, s.revision) for s in (self.chooses, self.measures))
        facts = BestFacts(self.plan.n, *rewards, len(self.test), tuple(learned), tuple(history))
        self.finish(facts, clock)

    def write(self, console: Console, log: Log, number: int, model: models.Source) -> None:
        """Let the model answer what it has not: test prompts, and train prompts if it learns."""
        parts = [(self.test, self.measures)]
        parts += [(self.train, self.chooses)] if number < self.rounds else []
        there = {line.prompt_id for line in log.lines if line.round == number}
        todo = [p for prompts, _ in parts for p in prompts if p.id not in there]
        if not todo:
            return
        console.print(
            f"Round {number}: the {'newest' if number else 'base'} model writes {self.plan.n}"
            f" answers to each of {count(len(todo), 'prompt')}"
        )
        loaded = models.load(model)
        columns = (TextColumn("prompts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("", total=len(todo))
            for prompts, reward in parts:
                writer = Writer(loaded, reward.load(), self.plan)
                for written in writer.write(prompts, there):
                    log.add([Line.of(number, model, w) for w in written])
                    bar.advance(task, len(written))

    def measured(self, log: Log, number: int, learned: int) -> RoundFacts:
        """Return what the round's model wrote on test prompts, and the change from round 0."""
        lines, first = log.of(number, self.test), log.of(0, self.test)
        prompts = [line.prompt_id for line in lines for _ in line.rewards]
        rewards, before = (np.concatenate([x.rewards for x in part]) for part in (lines, first))
        texts = [text for line in lines for text in line.texts]
        return RoundFacts(
            learned,
            Mean.of(rewards.tolist(), prompts),
            Mean.of((rewards - before).tolist(), prompts) if number else None,
            characters=float(np.mean([len(text) for text in texts])),
            cut=float(np.mean([not ended for line in lines for ended in line.ended])),
        )

    def tell(self, console: Console, number: int, facts: RoundFacts) -> None:
        change = f", {facts.change.words()} from round 0" if facts.change else ""
        console.print(
            f"Round {number}: mean reward on {count(len(self.test), 'test prompt')}"
            f" {facts.reward.words()}{change}; {facts.characters:.0f} characters,"
            f" {100 * facts.cut:.0f}% cut"
        )

    def chosen(self, log: Log, number: int) -> Rows[Answer]:
        """Return the answers to learn. Raises UsageError where there are none."""
        prompts = {p.id: p.prompt for p in self.train}
        best = [line.best(prompts[line.prompt_id]) for line in log.of(number, self.train)]
        left_out = Counter(b for b in best if isinstance(b, str))
        answers = [b for b in best if isinstance(b, Answer)]
        if not answers:
            reasons = "; ".join(f"{n:,} {reason}" for reason, n in left_out.items())
            raise UsageError(
                f"There is nothing to learn from round {number}: {reasons}. Raise --max-new-tokens"
                " where answers are cut, --temperature or --n where they are alike."
            )
        return Rows(answers, [], left_out)

    def learn(
        self, console: Console, number: int, model: models.Source, rows: Rows[Answer]
    ) -> models.Source:
        """Train the model on these answers, and return the result."""
        part = self.part(number)
        training = replace(self.job, base=model, rows=rows, run_dir=part)
        is_last = number == self.rounds
        steps = partial(sft.train, first=self.job.base, is_last=is_last)
        job.train(console, training, steps)
        for folder in part.path.glob("checkpoint-*"):
            shutil.rmtree(folder)
        # its config names the first model, which is on the Hub
        return replace(self.job.base, revision=f"round-{number}", folder=part.model, base=None)

    def part(self, number: int) -> RunDir:
        return self.job.run_dir.part(f"round-{number}")

    def finish(self, facts: BestFacts, clock: Clock) -> None:
        """Complete the last round's record, and move its folder to where the job pushes from."""
        model = self.part(self.rounds).model
        run = cast("SFTRecord", record.load(model))
        alarms = [a for a in run.alarms if a not in facts.alarms()]
        run = replace(
            run,
            best=facts,
            alarms=(*facts.alarms(), *alarms),
            started=clock.started,
            seconds=round(clock.seconds, 1),
        )
        shutil.copyfile(self.job.run_dir.path / ANSWERS, model / ANSWERS)
        paths.replace(model / FILE, run.text())
        model.rename(self.job.run_dir.model)


def run(console: Console, args: SFTArguments) -> SFTJob:
    """Write and train in turns, and return the finished job."""
    loop = prepare(console, args)
    loop.job.run_dir.hold()
    if loop.job.run_dir.finished():
        console.print(f"Training is done; the model is in {loop.job.run_dir.model}", markup=False)
    else:
        loop.run(console)
    return loop.job


def prepare(console: Console, args: SFTArguments) -> Loop:
    """Read and audit the data; decide what the arguments leave open.

    Raises UsageError for arguments that cannot work, PalateError for data that are not fit.
    """
    check(args)
    project = job.project_of(args)
    chooses = rewards_of(args.reward or (args.aspect and project.reward_repo), project)
    measures = rewards_of(args.measured_by, project) if args.measured_by else chooses
    for line in reward_lines(chooses):
        console.print(line, markup=False)
    project = with_its_people(console, project, chooses.run)
    findings = data.audit(
        console,
        project,
        read_preferences(project, implied=False, together=not args.aspect),
        ignore=args.ignore_audit,
        together=not args.aspect,
    )
    base = models.find(args.base_model or project.settings.base_model)
    say_other_base(console, chooses.run, base)
    recipe = choose_sft_recipe(args, base.parameters, Machine.here())
    best = plan_of(args)
    decided = replace(
        job.decided(args, project, base, recipe, project.sft_repo),
        n=best.n,
        rounds=args.rounds or ROUNDS,
        reward=f"{chooses.repo}@{chooses.revision}",
        measured_by=f"{measures.repo}@{measures.revision}",
        temperature=best.sampling.temperature,
        max_new_tokens=best.sampling.max_new_tokens,
    )
    train, test = ([p for p in project.prompts if p.split == s] for s in ("train", "test"))
    ids = [p.id for p in (*train, *test)]
    run_dir = RunDir(project.id, ids, "best", decided.identity())
    rows: Rows[Answer] = Rows([], [])
    prepared: SFTJob = job.Job(decided, recipe, project, rows, base, findings, run_dir)
    return Loop(prepared, chooses, measures, best, decided.rounds or ROUNDS, train, test)


def check(args: SFTArguments) -> None:
    """Raise UsageError for a number of answers that cannot work."""
    people.refuse(args)
    check_n(N if args.n is None else args.n)


def plan_of(args: SFTArguments) -> Plan:
    """Return how answers are written: as `palate best` does, where nothing else is asked."""
    usual = BestArguments(args.project)
    sampling = Sampling(
        usual.temperature if args.temperature is None else args.temperature,
        usual.top_p,
        usual.max_new_tokens if args.max_new_tokens is None else args.max_new_tokens,
    )
    return Plan(N if args.n is None else args.n, usual.batch_size, sampling, args.seed)
