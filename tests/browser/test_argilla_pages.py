"""Argilla's own pages, behind the sign-in of a label Space that runs as on the Hub."""

import fcntl

import pytest
from signing import sign_in

from palate.argilla.server import ensure_environment, owner_of
from palate.localhub.apps import register
from palate.web.serving import Space, free_port

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def installing(tmp_path):
    """Lets Argilla be installed when told so: until then somebody else is at it."""
    environment = ensure_environment().parent.parent
    cache = tmp_path / "cache"
    cache.mkdir()
    with (cache / f"{environment.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def done():
            folder = cache / environment.name
            (folder / "bin").mkdir(parents=True)
            python = folder / "bin" / "python"
            python.write_text(f'#!/bin/sh\nexec {environment}/bin/python "$@"\n')
            python.chmod(0o700)
            (folder / "bytecode").symlink_to(environment / "bytecode")
            (folder / "complete").touch()
            fcntl.flock(lock, fcntl.LOCK_UN)

        yield done


@pytest.fixture
def space(project, hub, installing, tmp_path, monkeypatch):
    monkeypatch.setenv("PALATE_DATA", str(tmp_path / "data"))
    port = free_port()
    back = f"http://127.0.0.1:{port}/login/callback"
    id, secret = register(hub.root, "Label titles", [back], seconds=3600)
    env = {
        "SYSTEM": "spaces", "SPACE_ID": f"{project.id}-label", "OAUTH_SCOPES": "openid profile",
        "OAUTH_CLIENT_ID": id, "OAUTH_CLIENT_SECRET": secret, "PALATE_HOME": str(tmp_path / "home"),
        "OPENID_PROVIDER_URL": hub.endpoint, "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port), "PALATE_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    with Space("label", project.id, port=port, env=env, log=tmp_path / "label.log") as running:
        yield running


def test_an_owner_sees_argilla_and_nobody_sees_its_key(
    space, project, hub, installing, browser, tmp_path
):
    responses: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    page.on("response", lambda r: responses.append(f"{r.headers} {body(r)}"))
    page.goto(space.url)
    sign_in(hub, page, "me")
    page.goto(f"{space.url}/owner")
    page.click(".tabs a:text-is('People')")
    page.click("a[href='/owner/argilla']")
    name = project.id.replace("/", "__")
    page.wait_for_selector("text=Argilla is starting")
    installing()
    page.wait_for_selector(f"text={name}", timeout=180000)
    page.goto(f"{space.url}/argilla/api/v1/me")
    assert '"role":"owner"' in page.inner_text("body").replace(" ", "")
    owner = owner_of(tmp_path / "home" / "argilla")
    for hidden in ("password", "auth_secret_key", "api_key"):
        assert not [text for text in responses if owner[hidden] in text]

    other = browser.new_context().new_page()
    assert other.goto(f"{space.url}/argilla/api/v1/me").status == 403
    other.goto(space.url)
    sign_in(hub, other, "you")
    for path in ("/argilla/", "/argilla/api/v1/me", "/owner/argilla"):
        assert other.goto(f"{space.url}{path}").status == 403


def body(response) -> str:
    try:
        return response.text()
    except Exception:  # a redirect or a font has none
        return ""
