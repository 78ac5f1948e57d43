"""`palate models add`: a model from the public Hub or a folder, on the Hub in use."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from palate.commands.common import console
from palate.core.errors import PalateError, Unreachable, UsageError
from palate.terminal.flags import flag
from palate.terminal.ref import Ref

if TYPE_CHECKING:
    from collections.abc import Sequence

PUBLIC = "https://huggingface.co"
TEXTS = (".json", ".txt", ".jinja", ".model", ".md")


def add(
    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME|FOLDER")],
    to: Annotated[str | None, flag("OWNER/NAME")] = None,
) -> None:
    """Put a model from the public Hub, or from a folder, on the Hub that HF_ENDPOINT names.

    Copies safetensors, configuration, tokenizer and card, and nothing else.

    Example: palate models add Qwen/Qwen2.5-0.5B-Instruct

    Args:
        source: Model on huggingface.co, as OWNER/NAME or OWNER/NAME@REVISION, or a folder.
        to: Name on this Hub. Default: the same name under your own.
    """
    from palate.core import hub

    is_folder = Path(source).is_dir()
    if not is_folder and hub.endpoint() == PUBLIC:
        raise UsageError(f"HF_ENDPOINT names {PUBLIC}, where {source} is. Nothing is to be copied.")
    name = Path(source).resolve().name if is_folder else _ref(source).repo.split("/")[-1]
    repo = to or f"{_me()}/{name}"
    folder = Path(source) if is_folder else download(source)
    files = [path for path in sorted(folder.iterdir()) if _is_wanted(path)]
    _check(source, [path.name for path in files])
    _check_links(folder, files)
    size = sum(path.stat().st_size for path in files)
    console.print(f"Copying {len(files)} files, {size / 1e6:,.0f} MB, to {repo}", markup=False)
    hub.create(repo, "model")
    content = {path.name: path.resolve() for path in files}
    sha = hub.commit(repo, "model", content, f"Copy of {name if is_folder else source}")
    console.print(
        f"added: {repo} at {sha[:7]}. Use it with: palate init me/titles --prompts FILE"
        f" --base-model {repo}; in a project that exists, set base_model in palate.toml",
        markup=False,
    )


def download(source: str, public: str = PUBLIC) -> Path:
    """Download a model from the public Hub; no token is sent there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    ref = _ref(source)
    console.print(f"Downloading {source} from {public}", markup=False)
    try:
        folder = snapshot_download(
            ref.repo,
            revision=ref.revision,
            endpoint=public,
            token=False,
            allow_patterns=["*.safetensors", *(f"*{suffix}" for suffix in TEXTS)],
            ignore_patterns=["*/*"],
        )
    except RepositoryNotFoundError:
        raise UsageError(f"{public} has no model {ref.repo} that everybody may see.") from None
    except HfHubHTTPError as error:
        raise PalateError(f"{public} does not give {ref.repo}: {error.server_message}") from None
    except Exception as error:  # whatever the network does
        raise Unreachable(
            f"{public} does not answer ({type(error).__name__}). Where there is no network, copy"
            " the model's folder here and name it: palate models add FOLDER"
        ) from error
    return Path(folder)


def _ref(source: str) -> Ref:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        ref = Ref.parse(source)
        validate_repo_id(ref.repo)
    except (UsageError, HFValidationError):
        raise UsageError(
            f"{source!r} is neither a folder here nor a model's name, which is OWNER/NAME or"
            " OWNER/NAME@REVISION."
        ) from None
    return ref


def _me() -> str:
    from palate.core import hub

    with hub.readable_errors(hub.endpoint()):
        return hub.retry(hub.api().whoami)["name"]


def _is_wanted(path: Path) -> bool:
    return path.is_file() and path.suffix in (".safetensors", *TEXTS)


def _check(source: str, names: "Sequence[str]") -> None:
    if "config.json" in names and any(name.endswith(".safetensors") for name in names):
        return
    raise UsageError(
        f"{source} is no model that palate loads: expected config.json and safetensors files,"
        f" found {', '.join(names[:10]) or 'neither'}."
    )


def _check_links(folder: Path, files: "Sequence[Path]") -> None:
    """Refuse links out of the folder: a folder from elsewhere could publish any file of yours.

    In the cache of huggingface_hub, files are links to `blobs`.
    """
    root = folder.resolve()
    for path in files:
        if not any(path.resolve().is_relative_to(r) for r in (root, root.parent.parent / "blobs")):
            raise UsageError(
                f"{path} is a link to {path.resolve()}, outside the model's folder. Put the file"
                " itself there if it belongs to the model."
            )
