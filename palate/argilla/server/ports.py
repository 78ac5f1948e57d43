"""Ports of this machine."""

import errno
import socket

from palate.argilla.server.errors import ServeError


def free_port(host: str, port: int) -> int:
    """Return `port`, or any free port for 0; ServeError if Argilla cannot listen there."""
    if not 0 <= port <= 65535:
        raise ServeError(f"port {port} does not exist: choose one from 0 to 65535 with --port")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            host.encode("idna")  # bind raises a TypeError for what this refuses
            s.bind((host, port))
        except UnicodeError:
            raise ServeError(f"Argilla cannot listen on {host[:100]!r}: not a host name") from None
        except OSError as e:
            if e.errno == errno.EADDRINUSE:
                message = f"port {port} is already in use: choose another with --port"
                raise ServeError(message) from None
            problem = e.strerror or e
            raise ServeError(f"Argilla cannot listen on {host}:{port}: {problem}") from None
        return s.getsockname()[1]
