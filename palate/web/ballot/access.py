"""Who is at the page, who may label, and whose project it is. Pure: no I/O."""

from collections.abc import Callable
from dataclasses import dataclass, field

from palate.core.project import Project

WRITERS = ("admin", "write")  # roles in an organisation


@dataclass(frozen=True)
class Person:
    """Somebody at the page; `subject` tells people apart, `name` is for Argilla's eyes only."""

    subject: str
    name: str
    verified: bool = False  # signed in with Hugging Face, rather than a name typed on this machine
    # their organisations and their role in each; looked up when a rule asks for it
    organisations: Callable[[], dict[str, str]] = field(default=dict, compare=False)


@dataclass(frozen=True)
class Access:
    """The project's rule: anyone, an organisation, or a list of people. Owners always may."""

    owner: str  # the namespace of the project's repo
    annotators: str | tuple[str, ...] = "anyone"

    @classmethod
    def of(cls, project: Project) -> "Access":
        return cls(project.id.partition("/")[0], project.settings.annotators)

    def may_label(self, person: Person) -> bool:
        """Tell whether the person may label; a name that was typed on this machine may."""
        if not person.verified or self.annotators == "anyone" or self.owns(person):
            return True
        if isinstance(self.annotators, str):
            return self.annotators.casefold() in {org.casefold() for org in person.organisations()}
        return person.name.casefold() in {name.casefold() for name in self.annotators}

    def owns(self, person: Person) -> bool:
        """Tell whether the person may write the project's repo: theirs, or their organisation's."""
        if not person.verified or person.name.casefold() == self.owner.casefold():
            return person.verified
        roles = {org.casefold(): role for org, role in person.organisations().items()}
        return roles.get(self.owner.casefold()) in WRITERS
