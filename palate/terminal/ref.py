"""A Hub repo at a revision, as people type it: owner/name[@revision]."""

import re
from dataclasses import dataclass

from palate.core.errors import UsageError

_REF = re.compile(r"([\w.\-]+(?:/[\w.\-]+)?)(?:@([^\s@]+))?")


@dataclass(frozen=True)
class Ref:
    """A repo at a branch, tag or commit.

    Law: `Ref.parse(str(ref)) == ref` for every ref that `parse` returns.
    """

    repo: str
    revision: str = "main"

    @classmethod
    def parse(cls, text: str) -> "Ref":
        """Return the ref that `owner/name` or `owner/name@revision` names, or raise UsageError."""
        if not text:
            raise UsageError(
                "The project records no base model. Name a model on the command line, or set"
                " base_model in palate.toml."
            )
        match = _REF.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} names no repo. Write owner/name, or owner/name@revision for a branch,"
                " tag or commit."
            )
        return cls(match[1], match[2] or "main")

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}"
