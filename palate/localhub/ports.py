"""Ports of this machine that are free."""

import socket


def free_port(host: str, port: int) -> int:
    """`port`, or any free one for 0; `OSError` if it is taken or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
        except OSError as e:
            if isinstance(e, socket.gaierror) or e.errno not in (98, 48):
                raise OSError(f"cannot listen on {host}:{port}: {e.strerror or e}") from None
            hint = f"choose another one with --port, or stop what answers at http://{host}:{port}"
            raise OSError(f"port {port} is already in use: {hint}") from None
        return s.getsockname()[1]
