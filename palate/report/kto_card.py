"""The card of a model that KTO trained: from its `run.json` alone."""

from palate.report import plots
from palate.report.cards import Files, document, with_pictures
from palate.report.model_card import ADAPTERS, examples, head
from palate.train.records.record import KTORecord


def kto_files(run: KTORecord) -> Files:
    """Return README.md and plots/*.svg. Pure."""
    pictures = plots.training_curves(run.history, plots.KTO_CURVES)
    adapter = run.method in ADAPTERS
    readme = document(
        head(run, "kto", adapter=adapter),
        "kto.md.j2",
        run=run,
        pictures=set(pictures),
        adapter=adapter,
        shown=examples(run.samples.examples),
    )
    return with_pictures(readme, pictures)
