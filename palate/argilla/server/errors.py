"""What the embedded Argilla raises at its users."""


class ServeError(Exception):
    """The server cannot start; the message says what to change."""
