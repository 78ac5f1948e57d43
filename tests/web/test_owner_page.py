"""Who opens the owner's page and calls what is behind it, on a label Space as it is served."""

import json
from urllib.parse import quote

import pytest
from served_space import ADA, ask

from palate.core.project import Project
from palate.web.labelling.owner import MAX_CALL_BYTES, OWNER_CALLS


def test_the_owners_page_opens_with_the_key_alone(client, space):
    assert client.get("/owner").status_code == 403
    assert client.get("/owner", params={"key": ""}).status_code == 403
    assert client.get("/owner", params={"key": "\N{SNOWMAN}"}).status_code == 403
    page = client.get(space.owner_url)
    assert page.status_code == 200
    assert "Which &lt;b&gt;one&lt;/b&gt; {{x}} `+" in page.text
    figures = client.get(space.owner_url.replace("/owner", "/owner.json")).json()
    assert figures["judgements"] >= 0


def test_only_an_owner_excludes_and_only_who_has_answered(client, space):
    event = ask(client, ADA)
    client.post("/api/events", json={"events": [event]}, headers=ADA)
    (person, *_) = client.get(space.owner_url.replace("/owner", "/owner.json")).json()["people"]
    body = {"annotator": person["annotator"], "counts": False}
    ours = space.owner_url.replace("/owner", "/owner/people")
    for url, sent, status in [
        ("/owner/people", body, 403),
        ("/owner/people?key=x", body, 403),
        (ours, body | {"annotator": "p-0000000000"}, 400),
        (ours, body | {"annotator": ["p"]}, 400),
        (ours, body | {"counts": 0}, 400),
        (ours, {"annotator": person["annotator"]}, 400),
        (ours, [], 400),
        (ours, body | {"more": "x" * MAX_CALL_BYTES}, 400),
    ]:
        assert client.post(url, json=sent, headers=ADA).status_code == status, (url, sent)
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post(ours, content=json.dumps(body), headers=form).status_code == 415
    foreign = {"origin": "http://evil.example"}
    assert client.post(ours, json=body, headers=foreign).status_code == 403
    assert client.get(ours).status_code == 404
    assert Project.load(space.project_id).people.excluded == frozenset()


@pytest.mark.parametrize("call", OWNER_CALLS)
def test_a_call_of_the_owners_page_is_for_owners(client, space, call):
    ours = space.owner_url.replace("/owner", f"/owner/{call}")
    for url in (f"/owner/{call}", f"/owner/{call}?key=", f"/owner/{call}?key=x"):
        assert client.post(url, json={}, headers=ADA).status_code == 403
    assert client.post(ours, json={}, headers={"origin": "http://evil.example"}).status_code == 403
    assert (
        client.post(ours, content="{}", headers={"content-type": "text/plain"}).status_code == 415
    )
    for body in ("", "[]", "[" * 100_000, '{"id": {}, "who": [], "kind": {}, "page": "x"}'):
        answer = client.post(ours, content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (200, 400, 404), (body[:20], answer.text)


def test_names_appear_on_the_owners_page_and_run_nothing(client, space):
    hostile = {"x-annotator": quote("<script>x</script>$\\frac{")}
    event = ask(client, hostile) | {"comment": "<img src=x onerror=x>"}
    client.post("/api/events", json={"events": [event]}, headers=hostile)
    page = client.get(space.owner_url).text
    assert page.count("<script") == page.count('<script type="module" src="/ballot/owner.js">') == 1
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    other = client.post("/api/figures", json={}, headers={"x-annotator": "Cy"}).json()
    assert other["judged"] == 0
