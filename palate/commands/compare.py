"""`palate compare`: several methods on the same labels, one after the other, in one table."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from palate.commands.common import Id, console
from palate.commands.data import export
from palate.core.errors import PalateError, UsageError
from palate.core.markdown import count
from palate.terminal.flags import Text, flag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palate.core.project import Project
    from palate.core.schema import Model
    from palate.run import methods as known

STOPPED = (130, 143)  # exit codes of Ctrl-C and of SIGTERM


def compare(
    project: Id,
    methods: Annotated[str, tyro.conf.arg(metavar="NAME,NAME,…")],
    epochs: float = 3.0,
    max_new_tokens: int = 256,
    aspect: Text = None,
    on: Literal["local", "hf"] = "local",
    flavor: Annotated[str | None, flag("NAME")] = None,
    yes: bool = False,
    replace: bool = False,
) -> None:
    """Train several methods on the same labels, and show in one table what each gives.

    Each method is one of palate's jobs, from the same base model, on the same labels, with as many
    passes. All models then answer the eval prompts with equal seeds. A reward that learned from the
    labels on test prompts scores the answers, and all models become contestants of the blind
    comparison. The table is printed, and is on the dataset's card.

    What is done is not done again: after Ctrl-C or a failure, the same command goes on.

    Methods: sft, hindsight, dpo, ipo, orpo, simpo, cpo, kto, ai-dpo, best-of-16, rejection, rl.
    dpo is always compared, since the verdict is about it and the base model. Where sft is compared,
    rl starts from its model.

    Example: palate compare me/titles --methods sft,dpo,kto,best-of-16

    Args:
        methods: Methods to compare, two or more.
        epochs: Passes of each training over its rows.
        max_new_tokens: Longest answer, in tokens.
        aspect: Aspect of the project in which all methods learn. Needed where it has aspects.
        on: Where the jobs run: on this machine, or on HF Jobs. The answers are measured here.
        flavor: Machine on HF Jobs. Default: chosen for each job by its size.
        yes: Do not ask before each job on HF Jobs.
        replace: Replace models of this round that were made another way, and remove their verdicts.
    """
    from palate.core.project import Project
    from palate.run import done
    from palate.run import methods as known

    if on == "local" and (flavor or yes):
        raise UsageError("--flavor and --yes need --on hf.")
    chosen, budget = known.chosen(methods), known.Budget(epochs, max_new_tokens)
    known.compared_in(Project.load(project), aspect)
    export(project)
    loaded = known.compared_in(Project.load(project), aspect)
    known.check(loaded, chosen, budget, here=on == "local")
    loaded, steps = done.at_base(loaded), known.with_reward(chosen)
    if (others := done.in_the_way(loaded, steps, budget)) and not replace:
        raise UsageError(
            f"The comparison would replace {count(len(others), 'model')}: {'; '.join(others)}."
            " Nothing was started. To replace what was made another way: --replace"
        )
    if chosen[0].name not in map(str.strip, methods.split(",")):
        console.print("dpo is compared, too: the verdict is about it and the base model")
    jobs = Jobs(loaded, budget, on, flavor, yes=yes)
    for method in steps:
        jobs.make(method)
    jobs.answer(chosen)
    jobs.measure(chosen)
    if jobs.failed:
        raise PalateError(
            f"These failed, for the reasons above: {', '.join(jobs.failed)}. The same command tries"
            " them again; what is done stays."
        )


class Jobs:
    """Runs the jobs of a comparison that are not done yet, all on the same state of the project."""

    def __init__(
        self, project: "Project", budget: "known.Budget", on: str, flavor: str | None, *, yes: bool
    ):
        self.id, self.budget, self.failed = project.id, budget, list[str]()
        self._project = project
        self._on, self._flavor, self._yes = on, flavor, yes
        self._made: dict[str, Model] = {}
        self._seconds: dict[str, float] = {}

    def make(self, method: "known.Method") -> None:
        """Run the method's job unless it is done. A failure leaves the others to run."""
        from palate.evaluate.ratings import name
        from palate.run import done
        from palate.run import methods as known

        needed = [known.REWARD.name] if method.needs_reward else []
        needed += [method.starts] if method.starts else []
        if lacking := [name for name in needed if name in self.failed]:
            console.print(f"{method.name}: left out, since there is no {lacking[0]}")
            self.failed.append(method.name)
            return
        project = self._project
        found = done.made(project, method, self.budget)
        if found:
            console.print(f"{method.name}: done, {name(found)}")
        else:
            why = "made first, for the methods that need one" if method == known.REWARD else ""
            console.print(f"{method.name}: {why or method.command(project, self.budget)}")
            began = time.monotonic()
            if not self._run(method.job, method.argv(project, self.budget)):
                self.failed.append(method.name)
                return
            if self._on == "local":  # on HF Jobs it would include the wait for a machine
                self._seconds[method.name] = time.monotonic() - began
            found = done.made(project, method, self.budget)
        if found is None:
            why = done.why_not(project, method, self.budget)
            console.print(f"{method.name}: not compared, since {why}", style="yellow")
            self.failed.append(method.name)
            return
        self._made[method.name] = found

    def answer(self, chosen: "Sequence[known.Method]") -> None:
        """Let all models answer the eval prompts, and make them contestants."""
        from palate.core.project import Project
        from palate.run import done
        from palate.run import methods as known

        if chosen[0].name not in self._made:
            raise PalateError(
                f"{chosen[0].name} failed, for the reason above, and without it there is no blind"
                " comparison. The same command goes on."
            )
        project = known.compared_in(Project.load(self.id), self._project.aspect)
        if project.settings.compare != "all":
            project = known.compared_in(known.with_all_contestants(project), project.aspect)
            console.print(
                'palate.toml: compare = "all" is set, for blind comparisons of every two models',
                markup=False,
            )
        models = [m for m in self._made.values() if m.repo != project.reward_repo]
        if all(done.has_answered(project, m) for m in models):
            return
        words = [project.id, "--max-new-tokens", str(self.budget.max_new_tokens)]
        for model in models:
            words += ["--model", f"{model.repo}@round-{project.settings.round}"]
        if not self._run("completions", words):
            raise PalateError("The models did not answer, for the reason above.")

    def measure(self, chosen: "Sequence[known.Method]") -> None:
        """Measure what the models wrote, put it on the dataset's card, and print it."""
        from palate.core.project import Project
        from palate.evaluate.ratings import ratings, table
        from palate.report.comparison import keep
        from palate.report.dataset_card import push_dataset_card
        from palate.run import measuring
        from palate.run import methods as known

        project = known.compared_in(Project.load(self.id), self._project.aspect)
        made = {m.name: self._made[m.name] for m in chosen if m.name in self._made}
        with console.status("Measuring what the models wrote"):
            report = measuring.report(project, made, self._seconds, paid=self._on == "hf")
        keep(project, report)
        for line in report.lines():
            console.print(line, markup=False)
        rated = ratings(project.evaluations, project.candidates, report.entries[0].model)
        for line in table(rated):
            console.print(line, markup=False)
        console.print(f"dataset card: {push_dataset_card(project.id)}")
        models = count(len(report.entries), "model")
        ask, count_votes = (f"palate {name} {project.id}" for name in ("evaluate", "verdict"))
        console.print(f"Next, {models} blind: {ask}, then: {count_votes}")

    def _run(self, name: str, argv: list[str]) -> bool:
        """Run a job to its end; tell whether it succeeded. Ends here where it was interrupted."""
        from palate.run import hf, hf_jobs, local
        from palate.run.jobs import job_named

        spec = job_named(name)
        if self._on == "hf":
            try:
                if job := hf_jobs.going_on(self.id, name, argv):
                    console.print(f"{name} is already running on HF Jobs: {job.url}", markup=False)
                    hf_jobs.follow(console, self.id, job)
                else:
                    hf.run(console, spec, argv, flavor=self._flavor, yes=self._yes)
            except PalateError as error:
                console.print(str(error), style="yellow")
                return False
            return True
        code = local.run_job(spec, argv)
        if code in STOPPED:
            console.print("Stopped. The same command goes on from here.")
            sys.exit(code)
        return code == 0
