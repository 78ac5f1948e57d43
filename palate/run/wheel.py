"""A wheel of the palate that runs here, whether that is a checkout or an install. Writes nothing.

Built from the files themselves, so it needs no build tool and no network. The same files give the
same bytes: an unchanged palate is never sent to the Hub twice.
"""

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from palate import __version__
from palate.core.errors import PalateError
from palate.core.paths import PACKAGE, shipped

NAME = f"palate-{__version__}-py3-none-any.whl"
_WHEEL = "Wheel-Version: 1.0\nGenerator: palate\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip file knows
_SOURCES = re.compile(r"(?m)^# \[tool\.uv\.sources\]\n(?:# \w+ = .*\n)+")


def build() -> bytes:
    """Return the wheel. Raises PalateError where palate was not installed but merely copied."""
    about = f"palate-{__version__}.dist-info"
    files = dict(_code())
    for name in ("METADATA", "entry_points.txt", "licenses/LICENSE"):
        text = distribution("palate").read_text(name)
        if text is None and name != "licenses/LICENSE":  # an editable install has none
            raise PalateError("This palate was not installed. Install it: pip install -e .")
        if text is not None:
            files[f"{about}/{name}"] = text.encode()
    files[f"{about}/WHEEL"] = _WHEEL.encode()
    record = "".join(f"{path},{_digest(data)},{len(data)}\n" for path, data in files.items())
    files[f"{about}/RECORD"] = f"{record}{about}/RECORD,,\n".encode()
    return _zipped(files)


def _code() -> Iterator[tuple[str, bytes]]:
    """Yield every file by its path in the wheel, in the wheel's order."""
    roots = [(PACKAGE, "palate")]
    roots += [(shipped(k), f"palate/_shipped/{k}") for k in ("spaces", "jobs", "cards")]
    found = {
        f"{inside}/{file.relative_to(root).as_posix()}": file
        for root, inside in roots
        for file in root.rglob("*")
        if file.is_file() and not _passing(file.relative_to(root))
    }
    for path in sorted(found):
        if path.startswith("palate/_shipped/jobs/") and path.endswith(".py"):
            yield path, installed_job(found[path].read_text("utf-8")).encode()
        else:
            yield path, found[path].read_bytes()


def without_sources(script: str) -> str:
    """Return a job's file without uv's sources, whose path leads to palate in a checkout alone."""
    head, end, rest = script.partition('\n"""')
    return _SOURCES.sub("", head) + end + rest


def installed_job(script: str) -> str:
    """Return a job's file as an install holds it: its header asks for the palate it came with."""
    return without_sources(script).replace('#   "palate",\n', f'#   "palate=={__version__}",\n', 1)


def _passing(file: Path) -> bool:
    """Tell whether a file is none of palate's own: bytecode, or what an editor or a system left."""
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
