"""Brings edits made in Argilla's own pages into the ledger without a running Space."""

from contextlib import closing

from palate.argilla.store import LabelStore
from palate.core.errors import PalateError
from palate.core.project import Project
from palate.web.labelling.ballot import LabelBallot
from palate.web.serving import secret_of


def sync_edits(project_id: str, url: str, key: str) -> int:
    """Publish the edits made in the pages of the Argilla at `url`; return how many there were."""
    project = Project.load(project_id)
    with closing(LabelStore(url, key)) as store:
        ballot = LabelBallot(project, lambda: store, secret_of(project_id), pause=0.0)
        before = _edits(ballot)
        ballot.prepared()
        if not ballot.close():
            raise PalateError(f"The edits are not on the Hub: {ballot.problem()}")
    return _edits(ballot) - before


def _edits(ballot: LabelBallot) -> int:
    return sum(e.via == "argilla" for e in ballot.events())
