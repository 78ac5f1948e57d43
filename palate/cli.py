"""The `palate` command: which words call which command or job, and where a job runs."""

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from palate import __version__
from palate.commands import (
    compare,
    data,
    doctor,
    imports,
    models,
    people,
    prompts,
    results,
    rounds,
    serving,
)
from palate.commands.common import console
from palate.core.errors import UsageError, run_guarded

if TYPE_CHECKING:
    from palate.run.spec import JobSpec


class Command(NamedTuple):
    """A command's function, whose parameters are its flags, and its line in `palate --help`."""

    call: Callable[..., None]
    help: str


COMMANDS = {
    "init": Command(data.init, "make a project from prompts, split before the first label"),
    "import": Command(imports.import_, "import labels that were made elsewhere"),
    "prompts": Command(prompts.prompts, "show the prompts; add more, or let a model write them"),
    "label": Command(serving.label, "serve the labelling page here"),
    "open": Command(serving.open_, "open the project's home here: next step, labels, people, jobs"),
    "agreement": Command(
        results.agreement, "how people label: agreement, self-consistency, bias, haste"
    ),
    "export": Command(data.export, "rebuild the preferences from the labels"),
    "evaluate": Command(serving.evaluate, "serve the blind comparison here"),
    "verdict": Command(results.verdict, "count the votes and put the win rate on the card"),
    "try": Command(serving.try_, "try base and tuned model here, on prompts of your own"),
    "round": Command(rounds.round_, "begin the next round, with the newest model as writer"),
    "compare": Command(compare.compare, "train several methods on the labels, in one table"),
    "audit": Command(data.audit, "find what is wrong with preference data before training on it"),
    "jobs": Command(results.jobs, "list what ran on HF Jobs: when, at what cost, how it ended"),
    "status": Command(results.status, "show where a project is in the loop, and what comes next"),
    "card": Command(results.card, "render the cards again"),
    "exclude": Command(people.exclude, "stop counting one person's answers; reversible"),
    "forget": Command(people.forget, "delete one person's answers for ever, history included"),
    "deploy": Command(serving.deploy, "put both Spaces on the Hub"),
    "doctor": Command(doctor.doctor, "check the Hub, your account and this machine"),
    "demo": Command(serving.demo, "run the whole loop on this machine, with a small model"),
    "models add": Command(models.add, "put a model on a Hub of your own"),
    "hub serve": Command(serving.hub_serve, "serve a Hub on this machine"),
    "argilla serve": Command(serving.argilla_serve, "serve Argilla on this machine"),
}
LOOP = ("init", "import", "prompts", "candidates", "label", "agreement", "export", "train",
        "completions", "evaluate", "verdict", "round")  # fmt: skip
HF_SWITCHES = ("--yes", "--dry-run", "--detach")
WHERE_HELP = """[bold]Where it runs[/]
  [cyan]--on local[/]   on this machine; the default
  [cyan]--on hf[/]      on HF Jobs: shows machine, time and price first, then follows the log.
                [cyan]--flavor NAME[/] chooses the machine, [cyan]--yes[/] skips the question,
                [cyan]--dry-run[/] only shows the plan, [cyan]--detach[/] does not follow the log.
                palate jobs OWNER/NAME lists what ran
  [cyan]--on slurm[/]   on a cluster: writes a batch script and submits it with sbatch

  palate {name} me/titles --on hf --flavor a10g-small"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 2 for usage, 1 for failure, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    sys.exit(run_guarded(lambda: _dispatch(words, debug), debug=debug))


def help_text() -> str:
    """Return what `palate --help` prints: the loop in its order, then all other commands."""
    from palate.run.jobs import JOBS

    lines = {name: command.help for name, command in COMMANDS.items()}
    lines |= {spec.name: spec.help for spec in JOBS}
    width = max(map(len, lines))

    def listed(names: Sequence[str]) -> str:
        return "\n".join(
            f"  [cyan]{name}[/]{' ' * (width - len(name))}  {lines[name]}" for name in names
        )

    return f"""[bold]palate[/]: teach a language model your taste, and prove it blind.

[bold]The loop[/]
{listed(LOOP)}
[bold]Other commands[/]
{listed([name for name in lines if name not in LOOP])}

palate COMMAND --help shows a command's options. A project is a Hub dataset repo, OWNER/NAME.
HF_ENDPOINT chooses the Hub. --debug shows tracebacks."""


def _dispatch(words: list[str], debug: bool) -> None:
    if not words or words[0] in ("-h", "--help"):
        console.print(help_text(), markup=True)
        return
    if words[0] == "--version":
        console.print(f"palate {__version__}")
        return
    size = 2 if " ".join(words[:2]) in COMMANDS else 1
    name, rest = " ".join(words[:size]), words[size:]
    if name in COMMANDS:
        from palate.terminal.flags import parse

        parse(COMMANDS[name].call, rest, f"palate {name}")
        return
    from palate.run.jobs import JOBS

    jobs = {spec.name: spec for spec in JOBS}
    if name not in jobs:
        raise UsageError(_unknown(words, [*COMMANDS, *jobs]))
    _run_job(jobs[name], rest, debug)


def _unknown(words: Sequence[str], names: Sequence[str]) -> str:
    """Return the message for words that start with no command, with the nearest one there is."""
    first, two = words[0], " ".join(words[:2])
    near = [name for name in names if name.split()[0] == first]  # hub: hub serve
    near += difflib.get_close_matches(two, names, 1) + difflib.get_close_matches(first, names, 1)
    hint = f" Did you mean: palate {near[0]}?" if near else ""
    return f"There is no command {first!r}.{hint} List them with: palate --help"


def _run_job(spec: "JobSpec", words: list[str], debug: bool) -> None:
    where, argv = _where(words)
    try:
        arguments = spec.parse(argv)
    except SystemExit as end:
        if not end.code:
            console.print(WHERE_HELP.format(name=spec.name), markup=True)
        raise
    if where.on != "local" and (flag := spec.only_here(arguments)):
        raise UsageError(f"{flag} runs code of yours, on this machine alone. Leave out --on.")
    if spec.training and "@" not in arguments.project and not where.dry_run:
        data.export(arguments.project)  # so that labels since the last export are trained on
    if where.on == "hf":
        from palate.run import hf

        hf.run(
            console,
            spec,
            argv,
            flavor=where.flavor,
            yes=where.yes,
            dry_run=where.dry_run,
            detach=where.detach,
        )
    elif where.on == "slurm":
        from palate.run import slurm

        slurm.run(console, spec, argv)
    else:
        from palate.run.local import run_job

        if code := run_job(spec, [*argv, *(["--debug"] * debug)]):
            sys.exit(code)


def _where(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return where a job is to run, and the words that are the job's own."""
    from palate.terminal.flags import repeated

    for name in repeated(words):
        if name in ("--on", "--flavor", *HF_SWITCHES):
            raise UsageError(f"{name} is given more than once. Give it once.")
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--on", default="local")
    parser.add_argument("--flavor")
    for switch in HF_SWITCHES:
        parser.add_argument(switch, action="store_true")
    try:
        where, argv = parser.parse_known_args(words)
    except argparse.ArgumentError as error:
        raise UsageError(f"{error}.") from None
    if where.on not in ("local", "hf", "slurm"):
        raise UsageError(f"--on {where.on}: expected local, hf or slurm.")
    if where.on != "hf" and (where.flavor or where.yes or where.dry_run or where.detach):
        raise UsageError(f"--flavor, {', '.join(HF_SWITCHES)} need --on hf.")
    return where, argv
