"""What a reader's request may ask: rows of the reader's own sessions, found by their tokens.

Whatever is not there, not theirs, not open (any more) or void answers with one and the same error.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Count, Prefetch, Q, QuerySet

from cases.taxonomy import STYLES
from leukoweb.core.exceptions import NotFound
from leukoweb.core.models import User
from reader_study.answers import answer_missing, empty_answer
from reader_study.models import ReadingSession, SessionCase, SessionImage
from reader_study.selectors.contacts import with_contact

State = ReadingSession.State
N_KEYS = 9
READ_SECONDS_MIN_CASES = 3  # from so many finished cases on, the time that is left is estimated


def nothing_here() -> NotFound:
    return NotFound("There is nothing here.")


def _own(user: User) -> QuerySet[ReadingSession]:
    mine = ReadingSession.objects.filter(reader__user=user, reader__withdrawn_at=None, imported=False)
    return mine.select_related("reader")


def session_of(user: User, token: str, *, states: tuple[str, ...] = (State.OPEN,)) -> ReadingSession:
    """One's own session in one of ``states``. 1 query."""
    session = _own(user).filter(token=token, state__in=states).first()
    if session is None:
        raise nothing_here()
    return session


def session_cases(session: ReadingSession) -> QuerySet[SessionCase]:
    """Cases in order with their drafts and ``n_seen``. 1 query."""
    return (
        SessionCase.objects.filter(session=session)
        .select_related("draft")
        .annotate(n_seen=Count("images", filter=Q(images__seen_at__isnull=False)))
        .order_by("position")
    )


def session_counts(session: ReadingSession) -> dict[str, int]:
    """What a reader is told before the session begins: cases, those for training, own sessions. 2 queries."""
    cases = session.cases.aggregate(n_cases=Count("pk"), n_training=Count("pk", filter=Q(training=True)))
    own = ReadingSession.objects.filter(reader_id=session.reader_id).exclude(state=State.VOID)
    return {**cases, "n_sessions": own.count()}


def case_of(session: ReadingSession, token: str) -> SessionCase:
    """A case of an open session with draft, fields and, where the arm shows it, the AI's result. 2 queries."""
    images = Prefetch("images", SessionImage.objects.order_by("position"))
    cases = SessionCase.objects.filter(session=session, token=token).select_related("draft", "assistance")
    case = cases.prefetch_related(images).first()
    if case is None:
        raise nothing_here()
    return case


def image_of(user: User, session: str, token: str) -> SessionImage:
    """A field of one's own open session, with that session. 1 query."""
    image = SessionImage.objects.select_related("case__session").filter(
        token=token, case__session__token=session, case__session__state=State.OPEN, case__gone_at=None,
        case__session__reader__user=user, case__session__reader__withdrawn_at=None,
    ).first()  # fmt: skip
    if image is None:
        raise nothing_here()
    return image


def home_sessions(user: User) -> list[ReadingSession]:
    """One's own sessions in order, with ``n_cases``, ``n_answered``, ``n_sessions`` and ``ask``. 3 queries."""
    cases = Prefetch("cases", SessionCase.objects.select_related("draft").order_by("position"))
    mine = list(_own(user).exclude(state=State.VOID).prefetch_related(cases).order_by("reader_id", "number"))
    for session in mine:
        own = [case for case in session.cases.all() if hasattr(case, "draft")]
        session.n_cases = len(session.cases.all())  # type: ignore[attr-defined]
        session.n_answered = sum(is_answered(case, session.rules) for case in own)  # type: ignore[attr-defined]
        session.n_sessions = sum(other.reader_id == session.reader_id for other in mine)  # type: ignore[attr-defined]
    return with_contact(mine)


def is_answered(case: SessionCase, rules: dict[str, Any]) -> bool:
    """Answered, or there is nothing left to answer."""
    return case.gone_at is not None or not answer_missing(case.draft.answer, rules)


def is_viewed(case: SessionCase) -> bool:
    """Every field seen, or none left to see. Needs ``n_seen``."""
    return case.gone_at is not None or case.n_seen == case.n_images  # type: ignore[attr-defined]


def is_complete(case: SessionCase, rules: dict[str, Any]) -> bool:
    """Nothing keeps the reader here: ``is_read``, or the patient was withdrawn. Needs ``n_seen``."""
    return case.gone_at is not None or is_read(case, rules)


def is_read(case: SessionCase, rules: dict[str, Any]) -> bool:
    """Answered and, where the protocol asks for it, every field seen: a reading. Needs ``n_seen``."""
    seen = not rules["require_all_viewed"] or case.n_seen == case.n_images  # type: ignore[attr-defined]
    return seen and not answer_missing(case.draft.answer, rules)


def case_line(case: SessionCase, rules: dict[str, Any]) -> dict[str, Any]:
    """A case in the list of the board."""
    return {
        "n": case.position,
        "case": case.token,
        "training": case.training,
        "answered": is_answered(case, rules),
        "viewed": is_viewed(case),
        "gone": case.gone_at is not None,
    }


def session_state(session: ReadingSession) -> dict[str, Any]:
    """Everything that the board needs to begin or to go on. 1 query."""
    rules = session.rules
    cases = list(session_cases(session))
    shown = cases if rules["navigation"] == "free" else [c for c in cases if c.position == session.current]
    return {
        "current": session.current,
        "of": len(cases),
        "training": sum(case.training for case in cases),
        "complete": sum(is_complete(case, rules) for case in cases),
        "minutes_left": minutes_left(cases, rules),
        "cases": [case_line(case, rules) for case in shown],
        "navigation": rules["navigation"],
        "require_all_viewed": rules["require_all_viewed"],
        "idle_minutes": rules["idle_minutes"],
        "viewer": rules["viewer"],
        "answers": rules["answers"],
        "classes": [class_line(name, key) for key, name in enumerate(rules["classes"], start=1)],
    }


def class_line(name: str, key: int) -> dict[str, Any]:
    """A class as the board offers it; the first nine have a key of the keyboard."""
    style = STYLES.get(name)
    title = style.title if style else name.replace("_", " ").capitalize()
    return {"name": name, "title": title, "key": str(key) if key <= N_KEYS else ""}


def minutes_left(cases: list[SessionCase], rules: dict[str, Any]) -> int | None:
    """From the median active time of the finished cases; None while there are too few."""
    done = sorted(case.active_ms for case in cases if is_read(case, rules) and case.active_ms)
    if len(done) < READ_SECONDS_MIN_CASES:
        return None
    left = sum(not is_complete(case, rules) for case in cases)
    return round(left * done[len(done) // 2] / 60_000)


def case_state(case: SessionCase) -> dict[str, Any]:
    """A case as the board shows it; the fields are named by token and number, by nothing else.

    Of a case whose patient was withdrawn nothing is shown but the reader's own answer.
    """
    gone = case.gone_at is not None
    return {
        "n": case.position,
        "case": case.token,
        "training": case.training,
        "gone": gone,
        "active_ms": case.active_ms,
        "version": case.draft.version,
        "answer": empty_answer() | case.draft.answer,
        "fields": [
            {
                "image": image.token, "n": image.position, "width": image.width_px, "height": image.height_px,
                "um": image.pixel_size_um, "seen": image.seen_at is not None, "ms": image.seen_ms,
                "coverage": image.coverage,
            }
            for image in ([] if gone else case.images.all())
        ],
        "assistance": case.assistance.payload if hasattr(case, "assistance") and not gone else None,
    }  # fmt: skip


def due_reminders(now: datetime) -> QuerySet[ReadingSession]:
    """Planned sessions that have opened by ``now`` and that nobody was reminded of. Not for blind requests."""
    return (
        ReadingSession.objects.filter(state=State.PLANNED, reminded_at=None, opens_at__lte=now)
        .filter(reader__withdrawn_at=None, reader__user__is_active=True)
        .select_related("reader__user")
        .order_by("opens_at", "pk")
    )
