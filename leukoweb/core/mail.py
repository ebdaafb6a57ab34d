"""Whether mails leave this installation. Every text that promises one asks here."""

from __future__ import annotations

from django.conf import settings

_NOWHERE = ("console", "dummy", "filebased")


def mail_configured() -> bool:
    """False where EMAIL_URL names no mail server: then nothing is sent, and nothing is said to be."""
    return settings.EMAIL_BACKEND.split(".")[-2] not in _NOWHERE
