"""A job's code on its way to HF Jobs: a wheel of the palate that runs here, and the job's file.

jobs/<version>-<hash>/   in the project's dataset repo
    palate-….whl         the palate that starts the job, from a checkout or an install
    dpo.py               the job's file, with the versions installed here in its header

The job runs from there, at that commit. uv sends HF_TOKEN to huggingface.co, so the repo may be
private. The wheel is built from the files themselves, without a build tool or a network. The same
files give the same bytes, so an unchanged palate is uploaded once.
"""

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from palate import __version__
from palate.core import hub
from palate.core.errors import PalateError
from palate.core.paths import PACKAGE, shipped

WHEEL = f"palate-{__version__}-py3-none-any.whl"
_WHEEL_FILE = "Wheel-Version: 1.0\nGenerator: palate\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold
_DEPENDENCY = re.compile(r'(?m)^#   "([\w-]+)[^"]*",\n')
_SOURCES = re.compile(r"(?m)^# \[tool\.uv\.sources\]\n(?:# \w+ = .*\n)+")


def ship(project: str, job: str) -> tuple[str, str]:
    """Put the job's code into the project's repo unless it is there.

    Return the URLs of wheel and file at the commit.
    """
    wheel, text = build_wheel(), portable((shipped("jobs") / f"{job}.py").read_text("utf-8"))
    folder = f"jobs/{__version__}-{hashlib.sha256(wheel).hexdigest()[:8]}"
    files = {f"{folder}/{WHEEL}": wheel, f"{folder}/{job}.py": text}
    sha, existing = hub.describe(project, "dataset")
    new = {p for p in files if p not in existing}
    if f"{folder}/{job}.py" not in new:  # perhaps written with other versions installed
        old = hub.fetch(project, "dataset", sha, [f"{folder}/{job}.py"])[0].read_text("utf-8")
        new |= {f"{folder}/{job}.py"} if old != text else set()
    if new:
        message = f"The code of {job} on HF Jobs, palate {__version__}"
        sha = hub.commit(project, "dataset", {p: files[p] for p in new}, message)
    at = f"{hub.endpoint()}/datasets/{project}/resolve/{sha}"
    wheel_url, file_url = (f"{at}/{path}" for path in files)
    return wheel_url, file_url


def portable(script: str) -> str:
    """Return a job's file as it runs from a URL: palate comes separately, versions are pinned."""

    def pinned(line: re.Match[str]) -> str:
        name = line[1]
        if name == "palate":
            return ""
        try:
            installed = version(name).partition("+")[0]
        except PackageNotFoundError:
            return line[0]
        released = re.fullmatch(r"\d+(\.\d+)*", installed)
        return f'#   "{name}=={installed}",\n' if released else line[0]

    head, end, rest = without_sources(script).partition('\n"""')
    return _DEPENDENCY.sub(pinned, head) + end + rest


def without_sources(script: str) -> str:
    """Return a job's file without uv's sources, whose path to palate exists only in a checkout."""
    head, end, rest = script.partition('\n"""')
    return _SOURCES.sub("", head) + end + rest


def installed_job(script: str) -> str:
    """Return a job's file as an install holds it: its header asks for the palate it came with."""
    return without_sources(script).replace('#   "palate",\n', f'#   "palate=={__version__}",\n', 1)


def build_wheel() -> bytes:
    """Return the wheel. Raises PalateError if palate was copied here without an install."""
    about = f"palate-{__version__}.dist-info"
    files = dict(_code())
    for name in ("METADATA", "entry_points.txt", "licenses/LICENSE"):
        text = distribution("palate").read_text(name)
        if text is None and name != "licenses/LICENSE":  # an editable install has none
            raise PalateError("This palate was not installed. Install it: pip install -e .")
        if text is not None:
            files[f"{about}/{name}"] = text.encode()
    files[f"{about}/WHEEL"] = _WHEEL_FILE.encode()
    record = "".join(f"{path},{_digest(data)},{len(data)}\n" for path, data in files.items())
    files[f"{about}/RECORD"] = f"{record}{about}/RECORD,,\n".encode()
    return _zipped(files)


def _code() -> Iterator[tuple[str, bytes]]:
    """Yield each file's path in the wheel and its bytes, in the wheel's order."""
    roots = [(PACKAGE, "palate")]
    roots += [(shipped(k), f"palate/_shipped/{k}") for k in ("spaces", "jobs", "cards")]
    files = {
        f"{inside}/{file.relative_to(root).as_posix()}": file
        for root, inside in roots
        for file in root.rglob("*")
        if file.is_file() and not _is_foreign(file.relative_to(root))
    }
    for path in sorted(files):
        if path.startswith("palate/_shipped/jobs/") and path.endswith(".py"):
            yield path, installed_job(files[path].read_text("utf-8")).encode()
        else:
            yield path, files[path].read_bytes()


def _is_foreign(file: Path) -> bool:
    """Tell whether a file is not part of palate: bytecode, or left by an editor or the system."""
    return file.suffix == ".pyc" or any(p.startswith(".") for p in file.parts)


def _digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def _zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            info = zipfile.ZipInfo(path, _EPOCH)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, data)
    return out.getvalue()
