"""What a page that waits for a job offers, by the state of the job."""

from __future__ import annotations

JOB_OFFERS: tuple[tuple[str, bool, list[str]], ...] = (
    # status, cancel asked for, buttons
    ("queued", False, ["cancel"]),
    ("running", False, ["cancel"]),
    ("running", True, []),
    ("failed", False, ["retry"]),
    ("cancelled", True, ["retry"]),
    ("done", False, []),
)
