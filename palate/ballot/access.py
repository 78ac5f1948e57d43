"""Who is at the page, who may label, and whose project it is. Pure: no I/O."""

from dataclasses import dataclass

from palate.project import Project


@dataclass(frozen=True)
class Person:
    """Somebody at the page; `subject` tells people apart, `name` is for Argilla's eyes only."""

    subject: str
    name: str
    verified: bool = False  # signed in with Hugging Face, rather than a name typed on this machine
    orgs: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()  # organisations in which they may write


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
            return self.annotators.casefold() in {org.casefold() for org in person.orgs}
        return person.name.casefold() in {name.casefold() for name in self.annotators}

    def owns(self, person: Person) -> bool:
        """Tell whether the person may write the project's repo: theirs, or their organisation's."""
        mine = {name.casefold() for name in (person.name, *person.writes)}
        return person.verified and self.owner.casefold() in mine
