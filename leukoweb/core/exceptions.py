"""Errors that people are shown: one shape for pages, the API and the command line.

Free of Django, so that the pure cores can raise them too.
"""

from __future__ import annotations


class DomainError(Exception):
    """Something the user can understand and mend.

    Parameters
    ----------
    message
        One sentence: what is wrong, with the value that was found and the limit.
    code
        Stable identifier such as ``E_TRUNCATED``; never translated, never reused.
    hint
        What to do now; may be empty.
    field
        Name of the input that is wrong; may be empty.
    nameless
        The message without names out of somebody's files, where it holds such: only that is kept on a job and logged,
        because more people read those than may see names.
    """

    code = "E_INVALID"
    status = 400

    def __init__(
        self, message: str, *, code: str | None = None, hint: str = "", field: str = "", nameless: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.hint = hint
        self.field = field
        self.nameless = nameless or message

    def as_dict(self) -> dict[str, str]:
        """The API's error body, without its outer ``error`` key."""
        return {
            "code": self.code,
            "message": self.message,
            "field": self.field,
            "hint": self.hint,
        }


class NotAllowed(DomainError):
    code = "E_NOT_ALLOWED"
    status = 403


class NotFound(DomainError):
    code = "E_NOT_FOUND"
    status = 404


class Conflict(DomainError):
    """The state of the object does not allow this, or somebody else was faster."""

    code = "E_CONFLICT"
    status = 409


class TooLarge(DomainError):
    code = "E_TOO_LARGE"
    status = 413


class StorageFull(DomainError):
    code = "E_STORAGE"
    status = 507


class StorageDown(DomainError):
    """The object store does not answer; nothing was changed."""

    code = "E_STORAGE_DOWN"
    status = 503
