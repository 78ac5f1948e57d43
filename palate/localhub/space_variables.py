"""The environment of a Space, without its secrets."""

from pathlib import Path
from urllib.parse import urlsplit

from palate.localhub.processes import inherited, uv_settings
from palate.localhub.repos import Repo

HOST = "127.0.0.1"  # where apps listen


def space_variables(
    repo: Repo, card: dict, settings: dict, disk: Path, address: str
) -> dict[str, str]:
    """Return the variables of a Space on the Hub at `address`.

    SPACE_HOST is left out: Gradio would expect TLS there. PORT names a port that is in use, as it
    does in Gradio Spaces on the Hub.
    """
    environment = {
        **inherited(),
        **uv_settings(),
        "HOME": str(disk),
        "TMPDIR": str(disk),
        "SYSTEM": "spaces",
        "SPACE_ID": repo.full_name,
        "SPACE_REPO": str(repo.id),
        "SPACE_AUTHOR_NAME": repo.ns,
        "SPACE_REPO_NAME": repo.name,
        "SPACE_TITLE": str(card.get("title") or repo.name),
        "CPU_CORES": "2",
        "MEMORY": "16Gi",
        "ACCELERATOR": "none",
        "PORT": str(urlsplit(address).port),
        "GRADIO_SERVER_NAME": HOST,  # 0.0.0.0 in a container
        "GRADIO_SERVER_PORT": str(settings["port"]),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "PYTHONUNBUFFERED": "1",
        "HF_ENDPOINT": address,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    if "oauth" in settings:
        client_id, secret = settings["oauth"]
        environment |= {"OAUTH_CLIENT_ID": client_id, "OAUTH_CLIENT_SECRET": secret}
        scopes = card.get("hf_oauth_scopes") or []
        environment["OAUTH_SCOPES"] = " ".join(["openid", "profile", *map(str, scopes)])
        environment["OPENID_PROVIDER_URL"] = address
    return environment | {k: s["value"] for k, s in settings.get("variables", {}).items()}
