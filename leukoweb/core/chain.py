"""The hash of one audit event. Free of Django, so that an extract can be checked without a database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FIELDS = ("previous", "at", "actor", "actor_name", "action", "target", "data", "reason")


def body_sha256(event: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of the event's fields; others, such as its id, do not enter.

    Parameters
    ----------
    event
        ``previous`` (hash of the event before), ``at`` (ISO 8601, microseconds), ``actor`` (id or None),
        ``actor_name``, ``action``, ``target``, ``data``, ``reason``.
    """
    text = json.dumps({name: event[name] for name in FIELDS}, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
