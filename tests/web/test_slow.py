"""Clients that send slowly, or never finish, hold no connection for ever."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from palate.web.ballot import app as ballot_app
from palate.web.ballot import serve

SECONDS = 0.5
Connect = Callable[[], socket.socket]


@pytest.fixture
def connect(monkeypatch) -> Iterator[Connect]:
    """A served app that echoes the length of a body; limits are half a second."""
    monkeypatch.setattr(serve, "HEAD_SECONDS", SECONDS)
    monkeypatch.setattr(ballot_app, "BODY_SECONDS", SECONDS)

    async def endpoint(request: Request) -> JSONResponse:
        body = await ballot_app.read_body(request, 1000)
        return JSONResponse(None if body is None else len(body))

    server = serve._server(Starlette(routes=[Route("/", endpoint, methods=["GET", "POST"])]))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=asyncio.run, args=(server.serve([listening]),))
    thread.start()
    opened = []

    def connect() -> socket.socket:
        opened.append(socket.create_connection(listening.getsockname(), timeout=20))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()
    server.should_exit = True
    thread.join()
    listening.close()


def dribble(connection: socket.socket, data: bytes) -> float:
    """Send a byte at a time until the server ends it; return after how many seconds."""
    began = time.monotonic()
    connection.settimeout(0.02)
    for byte in data * 1000:
        try:
            connection.sendall(bytes([byte]))
            if connection.recv(1000) == b"":
                return time.monotonic() - began
        except TimeoutError:
            continue
        except OSError:  # reset
            return time.monotonic() - began
    raise AssertionError("the server never ended the connection")


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\x16\x03\x01"])
def test_a_head_that_never_ends(connect, begin):
    connection = connect()
    connection.sendall(begin)
    if begin.startswith(b"GET"):
        assert dribble(connection, b"X-A: b\r\n") < 10 * SECONDS
    else:
        while connection.recv(1000):  # it may say that the request is invalid
            pass


def test_a_second_head_that_never_ends(connect):
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in connection.recv(1000)
    connection.sendall(b"GET / HTT")
    assert dribble(connection, b"P") < 10 * SECONDS


def test_a_body_that_never_ends(connect):
    connection = connect()
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 900\r\n\r\n"
    connection.sendall(head + b"{")
    answer = b""
    while part := connection.recv(1000):
        answer += part
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) is None


def test_a_body_that_goes_on_after_the_answer(connect):
    connection = connect()
    connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n{")
    assert b"200 OK" in connection.recv(1000)
    assert dribble(connection, b" ") < 10 * SECONDS


def test_patient_clients_are_served(connect):
    connection = connect()
    for _ in range(3):
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        answer = b""
        while not answer.endswith(b"3"):
            answer += connection.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        threading.Event().wait(1.2 * SECONDS)  # longer than a head may take
