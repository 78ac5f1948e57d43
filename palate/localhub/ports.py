"""Addresses and ports of this machine."""

import errno
import socket

from palate.localhub.errors import ServeError

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


def address(host: str, port: int) -> str:
    """Return the URL of a server; IPv6 addresses go in brackets."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def free_port(host: str, port: int) -> int:
    """Return `port`, or any free port for 0; ServeError if the Hub cannot listen there."""
    if not 0 <= port <= 65535:
        raise ServeError(f"port {port} does not exist: choose one from 0 to 65535 with --port")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            host.encode("idna")  # bind raises a TypeError for what this refuses
            s.bind((host, port))
        except UnicodeError:
            raise ServeError(f"cannot listen on {host[:100]!r}: not a host name") from None
        except OSError as e:
            if e.errno == errno.EADDRINUSE:
                hint = f"choose another with --port, or stop the server at {address(host, port)}"
                raise ServeError(f"port {port} is already in use: {hint}") from None
            raise ServeError(f"cannot listen on {host}:{port}: {e.strerror or e}") from None
        return s.getsockname()[1]
