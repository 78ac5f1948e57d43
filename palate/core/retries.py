"""Retries of HTTP calls to a server that is busy, restarting or limits the rate."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

T = TypeVar("T")
TRIES = 5
LONGEST = 60.0  # seconds to wait, whatever the server asks for


def retry(call: Callable[[], T], tries: int = TRIES, also: Sequence[int] = ()) -> T:
    """Call until it succeeds, up to `tries` times.

    Retries after a broken connection and after status 429, 5xx (507 excepted) and those in `also`.
    Waits 0.5, 1, 2, … s with jitter, longer if the server says so. Raises the last error.
    """
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import httpx

    for attempt in range(tries):
        try:
            return call()
        except HfHubHTTPError as error:
            status = error.response.status_code
            passing = status == 429 or (status >= 500 and status != 507) or status in also
            if attempt == tries - 1 or not passing:
                raise
            wait = requested_wait(error.response.headers)
        except httpx.TransportError:
            if attempt == tries - 1:
                raise
            wait = 0.0
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
