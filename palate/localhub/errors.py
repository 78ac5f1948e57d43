"""The exceptions of the local Hub.

ServeError    the server cannot start with this address, port, folder or users.json
HubError      the answer to a request that the Hub refuses
"""


class ServeError(Exception):
    """The server cannot start; the message says what to change."""


class HubError(Exception):
    """An answer with an HTTP status of 400 or more.

    `code` is sent as `X-Error-Code`, from which huggingface_hub chooses the exception to raise;
    `body` is added to the JSON answer.
    """

    def __init__(self, status: int, message: str, code: str | None = None, **body: object):
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, body
