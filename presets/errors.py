"""What a person is told when something they gave cannot be used.

UserError                 a sentence for the person, with a code such as "E-SIZE"
+-- InvalidField          one field of a request, refused before anything is queued
(pipelines/engine/errors.py adds those about models and jobs)
"""

import contextlib
import errno
import reprlib
from collections.abc import Iterator

MESSAGE_LIMIT = 300
DIGITS_SHOWN = 300
"""Python itself refuses to write a number of over 4300 digits."""


class _Repr(reprlib.Repr):
    """Reads only the beginning of a value, however long or deep it is."""

    def __init__(self):
        super().__init__()
        self.maxstring = self.maxother = MESSAGE_LIMIT

    def repr_int(self, x: int, level: int) -> str:  # noqa: ARG002
        return repr(x) if abs(x) < 10**DIGITS_SHOWN else f"a number of over {DIGITS_SHOWN} digits"


_repr = _Repr()


def shortened(value: object, limit: int = 60) -> str:
    """`repr(value)` cut to `limit` characters (at most 300), safe to stand in a sentence whatever the value is."""
    text = _repr.repr(value).encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= limit else text[: limit - 1] + "…"


class UserError(Exception):
    """A problem that the person can mend.

    `code` is stable (clients may match on it), `field` names the request's field where there is one,
    and the message is one or two sentences of at most 300 characters: what was given, what is allowed,
    what to do.
    """

    code = "E-ERROR"

    def __init__(self, message: str, *, code: str | None = None, field: str | None = None):
        self.code = code or type(self).code
        self.field = field
        self.message = message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
        super().__init__(f"{self.message} [{self.code}]")


def reason_of(error: OSError) -> str:
    """Why the system refused a file, as the end of a sentence."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):  # Windows has no quotas
        return "the disk is full; make room on it and try again"
    return error.strerror or type(error).__name__


class InvalidField(UserError):
    """A request's field holds a value that is refused at submit (HTTP 422)."""

    code = "E-FIELD"

    def __init__(self, field: str, message: str, *, code: str | None = None):
        super().__init__(message, code=code, field=field)


@contextlib.contextmanager
def renamed_field(field: str, to: str) -> Iterator[None]:
    """Until the block is left, a `UserError` about `field` is raised as one about `to`: what is asked there was named
    in another field of the request."""
    try:
        yield
    except UserError as error:
        if error.field != field:
            raise
        raise UserError(error.message, code=error.code, field=to) from error
