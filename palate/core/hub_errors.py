"""What a call to the Hub does when it fails: retries, then an error that says what to do next."""

import errno
import os
import random
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

from palate.core.errors import PalateError, Unreachable, UsageError, note_trouble

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

T = TypeVar("T")
TRIES = 5
LONGEST = 60.0  # seconds to wait, whatever the server asks for
HOPELESS = 600.0  # seconds: who is asked to wait for longer, as for a new day, gives up at once


class Conflict(PalateError):
    """The branch moved since its head was read."""


def retry(call: Callable[[], T], tries: int = TRIES, also: Sequence[int] = ()) -> T:
    """Call until it succeeds, up to `tries` times.

    Retries after a broken connection and after status 429, 5xx (507 excepted) and those in `also`.
    Waits 0.5, 1, 2, … s with jitter, longer if the server says so; ten minutes and more are not
    waited for. Raises the last error. From the second failure on, a background thread shows it as
    its problem.
    """
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import httpx

    for attempt in range(tries):
        try:
            return call()
        except HfHubHTTPError as error:
            status = error.response.status_code
            passing = status == 429 or (status >= 500 and status != 507) or status in also
            wait, answer = requested_wait(error.response.headers), f"answers {status}"
            if attempt == tries - 1 or not passing or wait > HOPELESS:
                raise
        except httpx.TransportError as error:
            if attempt == tries - 1:
                raise
            wait, answer = 0.0, f"does not answer ({_first_line(error)})"
        if attempt:
            note_trouble(f"The Hub {answer}. palate is trying again.")
        time.sleep(min(LONGEST, max(wait, 0.5 * 2**attempt * random.uniform(0.7, 1.3))))
    raise AssertionError("unreachable: the last try returns or raises")


def requested_wait(headers: Mapping[str, str]) -> float:
    """Return the seconds that a server asks its client to wait, 0 if it asks for none.

    Reads `RateLimit` where the limit is used up, else `Retry-After` in seconds or as an HTTP date.
    """
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    value = next((v for k, v in headers.items() if k.lower() == "retry-after"), "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if until.tzinfo is None:  # "-0000", which HTTP does not use
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


@contextmanager
def readable_errors(repo: str, kind: str = "") -> Generator[None]:
    """Turn whatever the clients raise into palate's errors, each ending in what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import httpx

    where = constants.ENDPOINT
    try:
        yield
    except HFValidationError as error:  # of the client, before it asks the Hub
        raise UsageError(
            f"{repo!r} is no name of a repo: {_first_line(error)} Write owner/name, such as"
            " me/titles."
        ) from None
    except LocalTokenNotFoundError:
        raise Unreachable(f"No token for {where}. {sign_in()}") from None
    except RevisionNotFoundError as error:
        if "revision" in str(error).lower():
            raise UsageError(
                f"{repo} has no such revision: {_revision(error)}. Name a branch, a tag or a commit"
                " that it has."
            ) from None
        raise _http_error(repo, where, error) from None
    except GatedRepoError as error:
        raise _gated(repo, where, error.response.status_code) from None
    except RepositoryNotFoundError as error:
        raise _not_found(repo, where, error.response.status_code, kind) from None
    except HfHubHTTPError as error:
        raise _http_error(repo, where, error) from None
    except (httpx.TransportError, OfflineModeIsEnabled) as error:
        raise _no_answer(where, error) from None
    except PalateError:
        raise
    except Exception as error:
        raise _unforeseen(repo, where, error) from error


def sign_in() -> str:
    """Return how to get a valid token: huggingface_hub reads HF_TOKEN before a stored one."""
    if os.environ.get("HF_TOKEN"):
        return (
            "HF_TOKEN is set and is used before any stored token: set it to a valid one, or unset"
            " it and sign in with: hf auth login"
        )
    return "Sign in with: hf auth login"


def _no_answer(where: str, error: Exception) -> PalateError:
    return Unreachable(
        f"The Hub at {where} does not answer ({_first_line(error)}). Is it running?"
        " Check HF_ENDPOINT, or start a local one with: palate hub serve"
    )


def _disk_full(repo: str) -> PalateError:
    return PalateError(
        f"No space left on the disk for {repo}. Free some, or point HF_HOME at a larger disk, and"
        " run the same command again: it resumes."
    )


def _not_found(repo: str, where: str, status: int, kind: str) -> PalateError:
    if status == 401:
        return Unreachable(f"{where} does not show {repo} without a valid token. {sign_in()}")
    if kind == "model":
        return UsageError(missing_model(repo))
    return UsageError(
        f"There is no repo {repo} on {where}, or your token may not see it."
        " Check the spelling. To start a project: palate init OWNER/NAME --prompts FILE"
    )


def _gated(repo: str, where: str, status: int) -> PalateError:
    whose = "the account of your token" if status != 401 else f"your account. {sign_in()}"
    return Unreachable(
        f"{repo} is gated: its owner asks who reads it. Open {where}/{repo}, ask for access or"
        f" accept the conditions with {whose}{'.' * (status != 401)} Then run the same command"
        " again. A fine-grained token must also be allowed to read gated repos."
    )


def _revision(error: "HfHubHTTPError") -> str:
    """Return the revision that was asked for: the last part of the address that has one."""
    found = re.search(r"/(?:revision|resolve|tree)/([^/?]+)", str(error.response.url))
    return unquote(found[1]) if found else _first_line(error)


def missing_model(model: str) -> str:
    """Return that the Hub lacks a model, and how to bring it."""
    from huggingface_hub import constants

    where = constants.ENDPOINT
    bring = "Check the spelling, or name another one with --base-model"
    if where != "https://huggingface.co":
        bring = f"Bring it with: palate models add {model}"
    return f"There is no model {model} on {where}, or your token may not see it. {bring}"


def _http_error(repo: str, where: str, error: "HfHubHTTPError") -> PalateError:
    status, text = error.response.status_code, error.server_message or _first_line(error)
    if status == 402:
        return PalateError(
            f"{where} asks for payment for {repo} ({text}). See {where}/settings/billing"
        )
    if status == 412:
        return Conflict(f"Somebody else changed {repo} in the meantime: {text}")
    if status == 401:
        return Unreachable(f"{where} does not accept the token. {sign_in()}")
    if status == 403:
        return Unreachable(
            f"The token may not write to {repo} ({text}). It needs write access. {sign_in()}"
        )
    if status == 507:
        return PalateError(f"The Hub's disk is full, nothing was written to {repo}: {text}")
    if status == 404:
        return UsageError(f"{repo}: {text}")
    return PalateError(f"The Hub answered {status} for {repo}: {text}")


def _unforeseen(repo: str, where: str, error: Exception) -> PalateError:
    """Return the error for whatever else the clients raise."""
    if isinstance(error, RuntimeError) and "uploading" in str(error):  # an interrupted LFS upload
        return Unreachable(
            f"An upload to {repo} was interrupted ({_first_line(error.__cause__ or error)})."
            " Run the same command again."
        )
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return _disk_full(repo)
        return PalateError(f"A file of {repo} cannot be read or written here: {_first_line(error)}")
    # a sign-in page or a proxy's page in place of the Hub's answer, or a broken answer
    return Unreachable(
        f"{where} gave an answer about {repo} that is not the Hub's"
        f" ({type(error).__name__}: {_first_line(error)[:200]}). Check HF_ENDPOINT and the network,"
        " and run the same command again."
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
