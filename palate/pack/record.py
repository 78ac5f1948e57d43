"""`pack.json`: what a repo of GGUF files holds, and how far each answers as its model does."""

import json
from dataclasses import asdict, dataclass

from palate.core.errors import BadInput
from palate.core.schema import Model
from palate.core.typed import read, version_of
from palate.pack.comparing import Sameness
from palate.pack.config import Gguf

VERSION = 0
FILE = "pack.json"


@dataclass(frozen=True)
class PackedFile:
    """One GGUF file, and how it was compared with the model."""

    name: str
    gguf: Gguf
    bytes: int
    sameness: Sameness

    @property
    def quantization(self) -> str:
        """As Ollama and llama.cpp name it after the repo: Q8_0."""
        return self.gguf.upper()


@dataclass(frozen=True)
class PackRecord:
    """What `palate pack` records."""

    version: int
    repo: str
    source: Model
    base_model: str
    project: str
    round: int
    license: str
    palate: str
    converter: str  # its version
    started: str
    files: tuple[PackedFile, ...]

    def text(self) -> str:
        """Return the content of pack.json."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def parse(text: str, source: object = FILE) -> PackRecord:
    """Return the record that the text holds. Raises BadInput for a wrong one."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(source, f"not JSON: {error}") from None
    version_of(value, VERSION, source)
    return read(PackRecord, value, source)
