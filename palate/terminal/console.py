"""What palate prints in a terminal: text of models, people and servers steers nothing there."""

from rich.console import Console
from rich.text import Text

from palate.core.errors import printable


class PlainConsole(Console):
    """Prints text as it is. Styles in brackets count only with `markup=True`."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(highlight=False, soft_wrap=True, markup=False, quiet=quiet)

    def render_str(self, text: str, **options: object) -> Text:
        return super().render_str(printable(text), **options)  # ty: ignore[invalid-argument-type]
