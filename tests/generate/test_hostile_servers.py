"""Servers that answer what no chat model does: each ends in a sentence, and no key gets out."""

import json
import time

import pytest
from openai_server import OpenAIServer

from palate.core.errors import PalateError, UsageError
from palate.evaluate.config import JudgeArguments
from palate.generate import engines
from palate.generate.generation import Completion
from palate.generate.openai import ChatClient
from palate.report import judges

MESSAGES = [{"role": "user", "content": "x"}]
KEY = "sk-not-for-others"
JSON = {"content-type": "application/json"}
NAN = (
    b'{"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant",'
    b' "content": NaN}}], "usage": {"prompt_tokens": Infinity}}'
)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("SERVER_API_KEY", KEY)
    sleep = time.sleep
    monkeypatch.setattr("palate.core.hub_errors.time.sleep", lambda s: sleep(s / 1000))
    with OpenAIServer("m") as made:
        yield made


def said(url: str, ask: str = "ask") -> str:
    """Return the sentence in which the client's call ends."""
    client = ChatClient("m", url)
    with pytest.raises(PalateError) as error:
        print(
            client.models()
            if ask == "models"
            else client.ask(MESSAGES, max_tokens=9, temperature=1.0)
        )
    return str(error.value)


ODD = [
    b"<!doctype html><title>Sign in</title>", b"", b"[]", b'"x"', b"null", b"7", b"\xff\xfe{",
    b"[" * 100_000, b'{"choices": [' + b"1" * 10_000 + b"]}", NAN, b'{"choices": [NaN]}',
    b'{"error": {"message": "the model is loading"}}',
    b'data: {"choices": [{"delta": {"content": "x"}}]}\n\ndata: [DONE]\n\n',
]  # fmt: skip


@pytest.mark.parametrize("ask", ["ask", "models"])
@pytest.mark.parametrize("content", ODD, ids=range(len(ODD)))
def test_what_is_no_reply_is_said_with_what_to_look_at(server, content, ask):
    server.sends = (200, JSON, content)
    assert "sends no reply of a chat model, but something else" in said(server.url, ask)


@pytest.mark.parametrize("ask", ["ask", "models"])
@pytest.mark.parametrize(
    ("sends", "says"),
    [
        ((200, {"content-length": "1000"}, b'{"choices": ['), "does not answer: peer closed"),
        ((502, {}, b"<h1>Bad Gateway</h1>" * 999), "does not answer: Server error '502"),
        ((307, {"location": "/v1/models"}, b""), "does not answer: Exceeded maximum"),
        ((404, {}, b"<h1>Not here</h1>"), "refuses the request (404)"),
    ],
)
def test_trouble_is_one_sentence_of_a_line(server, sends, says, ask):
    server.sends = sends
    sentence = said(server.url, ask)
    assert says in sentence
    assert "\n" not in sentence
    assert len(sentence) < 500


@pytest.mark.parametrize("address", ["http://me:word@{}/v1", "http://{}/v1?api_key=word#word"])
@pytest.mark.parametrize("status", [400, 401, 402, 404, 429, 500])
@pytest.mark.parametrize("ask", ["ask", "models"])
def test_a_key_in_the_address_is_in_no_sentence(server, address, status, ask):
    server.sends = (status, {}, b"{}")
    assert "word" not in said(address.format(f"127.0.0.1:{server.server_port}"), ask)


def test_a_key_in_the_address_is_sent_and_is_no_part_of_a_judges_name(server):
    server.answer = lambda body: ("A", "stop")
    url = f"{server.url}?api_key=word"
    assert ChatClient("m", url).models() == ["m"]
    name, ask = judges.judge_of(JudgeArguments("me/titles", model="m", engine=url))
    assert [reply.text for reply in ask([MESSAGES], 6)] == ["A"]
    assert name == f"m at {server.url}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_another_server_gets_no_key(server, status):
    with OpenAIServer("m") as other:
        other.sends = (200, JSON, b"{}")
        address = f"http://localhost:{other.server_port}/v1/models"
        server.sends = (status, {"location": address}, b"")
        for ask in ("ask", "models"):
            said(server.url, ask)
        assert server.keys == {f"Bearer {KEY}"}
        assert other.keys == {None}


@pytest.mark.parametrize("wait", ["86400", "Fri, 31 Dec 2999 23:59:59 GMT"])
def test_a_quota_that_is_spent_until_tomorrow_is_not_waited_for(server, wait):
    asked = []
    server.trouble = lambda body: asked.append(body) or (429, {"Retry-After": wait})
    assert "It wants no request before 2" in said(server.url)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "address", ["http://", "http:///v1", "http://[::1/v1", "http://host:99999/v1", "ftp://host"]
)
def test_what_is_no_address_is_wrong_usage(address):
    with pytest.raises(UsageError, match="There is no engine"):
        engines.check(address, 1)


@pytest.mark.parametrize(
    ("reply", "text", "ended"),
    [
        ("<think>Tea or coffee?</think>\n\nTea", "Tea", True),
        ("Tea or coffee?\n</think>\nTea", "Tea", True),  # the template opened it
        ("\n<THINKING>hm</THINKING>Tea", "Tea", True),
        ("<think>\n\n</think>\n\nTea </think> time", "Tea </think> time", True),
        ("<think>Tea or", "", False),
        ("I think: tea", "I think: tea", True),
        ("Write <think> before it", "Write <think> before it", True),
        ("", "", True),
    ],
)
def test_what_a_model_thinks_is_no_answer(server, reply, text, ended):
    assert Completion.of(reply, ended=True) == Completion(text, ended)
    server.answer = lambda body: (reply, "stop")
    asked = ChatClient("m", server.url).ask(MESSAGES, max_tokens=9, temperature=1.0)
    assert asked == Completion(text, ended)


@pytest.mark.parametrize(
    ("reason", "ended"), [("stop", True), ("eos_token", True), ("length", False), (None, False)]
)
def test_an_answer_that_was_cut_is_told_from_one_that_ended(server, reason, ended):
    server.answer = lambda body: ("Tea", reason)
    asked = ChatClient("m", server.url).ask(MESSAGES, max_tokens=9, temperature=1.0)
    assert asked == Completion("Tea", ended)


def test_a_reply_of_thoughts_alone_in_a_field_of_their_own_is_empty(server):
    message = {"role": "assistant", "content": None, "reasoning_content": "Tea or coffee?"}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    server.sends = (200, JSON, json.dumps({"choices": [choice]}).encode())
    asked = ChatClient("m", server.url).ask(MESSAGES, max_tokens=9, temperature=1.0)
    assert asked == Completion("", True)
