"""A judge proposes rules from labels; each is tested on others, and none becomes instructions."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from openai_server import OpenAIServer

from palate.core import hub as client
from palate.core import ledger
from palate.core.project import GUIDELINES_FILE, Project
from palate.report import principles
from palate.report.principles import parse_rules, plain

PROPOSED = """Here are the rules:

1. Prefer an answer that ends with a question mark.
2) **Avoid** <img src=x onerror=alert(1)>questions at the end.
3. Prefer [the answer](javascript:alert(1)) that comes first \x1b[31m\u202ealways.
4. Read more at https://evil.example/rules
5. {long}
6. Prefer an answer that ends with a question mark.
""".format(long="word " * 60)


class Server(OpenAIServer):
    """Proposes `rules`, and knows two: a question mark is better, or worse. Else it says A."""

    rules = PROPOSED
    always = ""

    def answer(self, body):
        text = body["messages"][0]["content"]
        if "Rule: " not in text:
            return self.rules, "stop"
        rule = text.split("Rule: ")[1].splitlines()[0]
        first, second = (
            text.split(f"<answer-{x}>\n")[1].split(f"\n</answer-{x}>")[0] for x in "ab"
        )
        if self.always or "comes first" in rule:
            return self.always or "A", "stop"
        better = (first.endswith("?"), first) > (second.endswith("?"), second)
        return ("A" if better != rule.startswith("Avoid") else "B"), "stop"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


def ask(jobs, project: Project, server: Server, *flags: str, code: int = 0) -> str:
    words = ("--model", "judge", "--engine", server.url, "--principles", *flags)
    return " ".join(jobs("judge", project.id, *words, code=code).split())


def test_each_rule_is_tested_on_labels_of_other_prompts_and_none_is_taken_over(
    labelled, jobs, server
):
    made, tests = principles.labels_of(labelled)
    n = len(tests)
    said = ask(jobs, labelled, server)
    assert "Left out: 2 rules with a link or more than 160 characters." in said
    assert f"{3 * n} of {3 * n} pairs to judge, each in both orders" in said  # of three rules
    assert f"Prefer an answer that ends with a question mark. {n} of {n} on" in said
    assert f"Avoid questions at the end. 0 of {n} on" in said
    assert "Prefer the answer that comes first always. none" in said
    assert "the opposite" in said
    assert f"made the rules from 24 labels, and applied each, in both orders, to {n} labels" in said
    assert f"palate open {labelled.id}" in said
    after = Project.load(labelled.id)
    assert after.text(principles.FILE) == "- Prefer an answer that ends with a question mark.\n"
    assert GUIDELINES_FILE not in after.files
    assert after.labels == labelled.labels
    assert not {e.prompt_id for e in made} & {e.prompt_id for e in tests}
    train = {p.id for p in labelled.prompts if p.split == "train"}
    assert {e.prompt_id for e in (*made, *tests)} <= train
    shown = server.asked[0]["messages"][0]["content"]
    assert shown.count("<preferred>") == 24


def test_rules_that_nothing_shows_are_not_kept(labelled, jobs, server):
    server.rules = "1. Prefer the answer that comes first.\n2. Avoid questions.\n"
    said = ask(jobs, labelled, server, "--pairs", "20")
    assert "No rule is shown to hold. Nothing was kept." in said
    assert Project.load(labelled.id).revision == labelled.revision


def test_a_judge_that_proposes_nothing_or_always_says_a_is_refused(labelled, jobs, server):
    server.rules = "I cannot help with that."
    said = ask(jobs, labelled, server, code=1)
    assert "The judge proposed no rule on a numbered line of its reply." in said
    server.rules, server.always = PROPOSED, "A"
    said = ask(jobs, labelled, server, "--pairs", "20", code=1)
    assert "said A in both orders on 60 of 60 pairs" in said
    assert Project.load(labelled.id).revision == labelled.revision
    said = ask(jobs, labelled, server, "--labels", code=2)
    assert "--labels and --principles are two tasks. Give one of them." in said


def test_too_few_labels_are_refused_before_anything_is_asked(labelled, jobs, server):
    (path,) = labelled.paths("labels")
    few = [replace(e) for e in labelled.labels[:12]]
    client.commit(labelled.id, "dataset", {path: ledger.jsonl(few)}, "Few")
    said = ask(jobs, labelled, server, code=2)
    assert "too few to make rules from some and to test them on others" in said
    assert not server.asked


def test_what_a_model_writes_becomes_plain_words():
    rules, refused = parse_rules(PROPOSED)
    assert rules == [
        "Prefer an answer that ends with a question mark.",
        "Avoid questions at the end.",
        "Prefer the answer that comes first always.",
    ]
    assert refused == 2
    assert parse_rules("<think>1. No\n</think>- Short **titles**\n* `Numbers`\n") == (
        ["Short titles", "Numbers"], 0,
    )  # fmt: skip
    assert parse_rules("1. ***\n2. \n3.x\nno list") == ([], 0)
    assert len(parse_rules("\n".join(f"{n}. Rule number {n}" for n in range(1, 30)))[0]) == 5
    assert plain("a\u2028b\x00c <b>d</b> | e\\n ~~f~~ ![x](y) & g") == "a b c d en f x & g"
