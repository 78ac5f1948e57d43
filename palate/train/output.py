"""Where a model will be pushed, checked before the training rather than after it."""

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from palate.core import hub
from palate.core.errors import UsageError
from palate.core.project import Project


def output_of(asked: str | None, project: Project, default: str) -> str:
    """Return the repo that the model goes to: what `--output` asks for, or the default.

    Raises UsageError where it would replace another model of the project, where no repo can have
    that name, or where the token's user may not write.
    """
    repo = default if asked is None else asked
    owner, slash, _ = repo.partition("/")
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UsageError(f"--output {repo}: {error}") from None
    if not slash:
        raise UsageError(f"--output {repo}: expected OWNER/NAME, such as {default}.")
    if repo in {*project.model_repos} - {default}:
        raise UsageError(
            f"{repo} is where another model of {project.id} goes. Leave --output out: it is"
            f" {default} then."
        )
    with hub.readable_errors(owner):
        user = hub.retry(hub.api().whoami)
    writable = {user["name"], *(org["name"] for org in user.get("orgs", ()))}
    if owner.lower() not in {name.lower() for name in writable}:
        raise UsageError(
            f"The model would go to {repo}, and the token is that of {user['name']}, who may not"
            f" write to {owner}. Use --output {user['name']}/NAME, or sign in as somebody who may:"
            " hf auth login"
        )
    if (user.get("auth") or {}).get("accessToken", {}).get("role") == "read":
        raise UsageError(
            f"The token may only read, and the model would go to {repo}. Sign in with one that may"
            " write: hf auth login"
        )
    return repo
