"""The `palate` command: which words call which command or job, and where the job runs."""

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence

import tyro

from palate import __version__
from palate.commands import data, results, serving
from palate.commands.common import console
from palate.core.errors import UsageError, run_guarded
from palate.run.local import run_job

COMMANDS: dict[str, Callable] = {
    "init": data.init,
    "import": data.import_,
    "audit": data.audit,
    "label": serving.label,
    "export": data.export,
    "agreement": results.agreement,
    "evaluate": serving.evaluate,
    "verdict": results.verdict,
    "card": results.card,
    "jobs": results.jobs,
    "status": results.status,
    "deploy": serving.deploy,
    "demo": serving.demo,
    "hub serve": serving.hub_serve,
    "argilla serve": serving.argilla_serve,
}
JOBS = {
    "candidates": "candidates",
    "sft": "sft",
    "train": "dpo",
    "completions": "completions",
    "judge": "judge",
}
ANYWHERE = """[bold]Where it runs[/]
  [cyan]--on local[/]   here, as it does unless you say otherwise
  [cyan]--on hf[/]      on HF Jobs: machine, time and price are shown first, the log is followed.
                [cyan]--flavor NAME[/] takes another machine, [cyan]--yes[/] does not ask.
                palate jobs OWNER/NAME shows what ran
  [cyan]--on slurm[/]   on a cluster: writes a batch script and submits it with sbatch

  palate {name} me/titles --on hf --flavor a10g-small"""
HELP = """[bold]palate[/]: teach a language model your taste, and prove it blind.

[bold]The loop[/]
  [cyan]init[/]           make a project from prompts, split before the first label
  [cyan]import[/]         take labels that were made elsewhere
  [cyan]candidates[/]     write several completions of each prompt; they make the pairs
  [cyan]label[/]          serve the labelling page here
  [cyan]agreement[/]      how people label: agreement, self-consistency, bias, haste
  [cyan]export[/]         rebuild the preferences from the labels
  [cyan]train[/]          train with DPO and push the model with its card
  [cyan]completions[/]    write base and tuned completions of the eval prompts
  [cyan]evaluate[/]       serve the blind comparison here
  [cyan]verdict[/]        count the votes and put the win rate on the card
[bold]Beside it[/]
  [cyan]sft[/]            train on the preferred answers first: a warm start for train
  [cyan]judge[/]          let a language model vote, too, and see how far it agrees
  [cyan]audit[/]          what is wrong with preference data, before training on it
  [cyan]jobs[/]           what ran on HF Jobs, when, at what cost, with which result
  [cyan]status[/]         where a project stands, and what comes next
  [cyan]card[/]           render the cards again
  [cyan]deploy[/]         put both Spaces on the Hub
  [cyan]demo[/]           all of it on this machine, with a tiny model
  [cyan]hub serve[/]      a Hub on this machine
  [cyan]argilla serve[/]  Argilla on this machine

palate COMMAND --help says more. A project is a Hub dataset repo, OWNER/NAME.
HF_ENDPOINT alone decides which Hub; --debug shows tracebacks."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 2 for usage, 1 for failure, 130 for Ctrl-C."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    args = [a for a in args if a != "--debug"]
    sys.exit(run_guarded(lambda: _dispatch(args, debug), debug=debug))


def _dispatch(args: list[str], debug: bool) -> None:
    if not args or args[0] in ("-h", "--help"):
        console.print(HELP)
        return
    if args[0] == "--version":
        console.print(f"palate {__version__}")
        return
    size = 2 if " ".join(args[:2]) in COMMANDS else 1
    name, rest = " ".join(args[:size]), args[size:]
    if name in JOBS:
        _run_job(name, rest, debug)
    elif name in COMMANDS:
        flags = (tyro.conf.FlagCreatePairsOff,)
        tyro.cli(COMMANDS[name], args=rest, prog=f"palate {name}", config=flags)
    else:
        names = [*COMMANDS, *JOBS]
        near = difflib.get_close_matches(name, names, 1) or difflib.get_close_matches(
            " ".join(args[:2]), names, 1
        )
        hint = f" Did you mean: palate {near[0]}?" if near else ""
        raise UsageError(f"There is no command {name!r}.{hint} All of them: palate --help")


def _run_job(name: str, args: list[str], debug: bool) -> None:
    where, words = _where(args)
    asks = not words or words[0].startswith("-") or "--help" in words or "-h" in words
    if asks:
        code = run_job(JOBS[name], words)
        if not code:
            console.print(ANYWHERE.format(name=name))
        sys.exit(code)
    if name in ("sft", "train"):
        data.export(words[0])  # what was labelled since the last export is trained on, too
    if where.on == "hf":
        from palate.run import hf

        hf.run(console, name, JOBS[name], words, where.flavor, where.yes)
    elif where.on == "slurm":
        from palate.run import slurm

        slurm.run(console, name, JOBS[name], words)
    elif code := run_job(JOBS[name], [*words, *(["--debug"] * debug)]):
        sys.exit(code)


def _where(args: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return where a job is to run, and the words that are the job's own."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--on", default="local")
    parser.add_argument("--flavor")
    parser.add_argument("--yes", action="store_true")
    try:
        where, words = parser.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise UsageError(f"{error}.") from None
    if where.on not in ("local", "hf", "slurm"):
        raise UsageError(f"--on {where.on}: expected local, hf or slurm.")
    if where.on != "hf" and (where.flavor or where.yes):
        raise UsageError("--flavor and --yes belong to --on hf.")
    return where, words
