"""ZeroGPU without a GPU: which apps start on it, and the address at which they report.

The package `spaces` in an app talks to that address. It reports the app's `@spaces.GPU` functions
before the app is served, and asks for a GPU when one is called. This Hub has none to lend.
"""

import secrets

from palate.localhub.errors import HubError
from palate.localhub.hardware import ZERO

HERE = "/api/zero/{key}"


class Devices:
    """The addresses of the ZeroGPU apps that have been started, and which of them reported."""

    def __init__(self, address: str):
        self._address = address
        self._reported: dict[str, bool] = {}

    def open(self) -> tuple[str, dict[str, str]]:
        """Return the key of a new app, and the variables that tell it its address."""
        key = secrets.token_hex(16)
        self._reported[key] = False
        url = f"{self._address}{HERE.format(key=key)}"
        return key, {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": url}

    def report(self, key: str) -> None:
        """Note that the app has a GPU function."""
        self.has_reported(key)
        self._reported[key] = True

    def has_reported(self, key: str) -> bool:
        """Tell whether the app has a GPU function; `HubError` 404 if there is no such app."""
        if key not in self._reported:
            raise HubError(404, "There is no such app on ZeroGPU")
        return self._reported[key]


def python_problem(card: dict) -> str | None:
    """Say why ZeroGPU has not the Python that the card asks for; None if it has it."""
    wanted = str(card.get("python_version", ZERO["pythons"][0]))
    if any(python == wanted or python.startswith(f"{wanted}.") for python in ZERO["pythons"]):
        return None
    return f"ZeroGPU has Python {' and '.join(ZERO['pythons'])}, not {wanted}"
