"""Which AI result a session with AI showed: named in the record when it is laid out, and in every analysis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from reader_study.models import ReadingSession, SessionAssistance


def assistance_sha256(payloads: Iterable[Mapping[str, Any]]) -> str:
    """Of what a session shows of the AI, case by case in its order."""
    text = json.dumps(list(payloads), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def assistance_shown(sessions: Iterable[ReadingSession]) -> dict[int, dict[str, Any]]:
    """Session id -> {pipeline, n_cases, sha256} of sessions with AI, from the frozen rows. 1 query."""
    rows = SessionAssistance.objects.filter(case__session__in=list(sessions))
    rows = rows.order_by("case__session", "case__position")
    found: dict[int, list[dict[str, Any]]] = {}
    for session, payload in rows.values_list("case__session", "payload"):
        found.setdefault(session, []).append(payload)
    return {
        session: {
            "pipeline": payloads[0]["pipeline"], "n_cases": len(payloads), "sha256": assistance_sha256(payloads),
        }
        for session, payloads in found.items()
    }  # fmt: skip
