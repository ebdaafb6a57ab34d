"""A whole small study in the browser: three readers and one repeat over 64 drawn patients, without a mouse.

The clock of the server is moved over the washout. Takes minutes; run by `make slow`.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect

from cases.models import Cohort, Patient, ReferenceDiagnosis, Slide
from cases.phantoms import draw_patient, encode_jpeg
from cases.services.images import image_add
from reader_study.models import Analysis, Reading, ReadingSession, Study
from reader_study.services.conduct import study_freeze, study_unblind
from reader_study.services.seals import seal_verify
from reader_study.verification import verify
from tests.conftest import BACKEND
from tests.reader_study import factories
from tests.reader_study.factories import CLASSES, PASSWORD, MadeStudy
from tests.reader_study.studies import sign

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
N_PATIENTS, N_FIELDS, WIDTH_PX = 64, 2, 320
PATIENCE_MS = 180_000  # machines are busy
START = datetime(2027, 1, 4, 9, 0, tzinfo=UTC)


def draw_patients(cohort: Cohort, count: int, fields: int, *, start: int = 0) -> list[Patient]:
    made = []
    for n in range(start, start + count):
        diagnosis = CLASSES[n % 5]
        patient = Patient.objects.create(code=f"PHANTOM-{n:03d}", cohort=cohort)
        slide = Slide.objects.create(code=f"PHANTOM-{n:03d}-S1", patient=patient, pixel_size_um=0.3)
        drawn = draw_patient(diagnosis, seed=900 + n, style="dp73", n_fields=fields, width_px=WIDTH_PX)
        for position, field in enumerate(drawn, start=1):
            image_add(actor=None, slide=slide, data=encode_jpeg(field), name=f"{diagnosis}_{n}_{position}.jpg")
        ReferenceDiagnosis.objects.create(patient=patient, diagnosis=diagnosis, source="Drawn as such (phantom)")
        made.append(patient)
    return made


class MovedClock:
    """What the server takes for the time. Only Django's clock is moved: the browser's driver has timers of its own."""

    def __init__(self) -> None:
        self.offset = START - datetime.now(UTC)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def move_to(self, at: datetime) -> None:
        self.offset = at - datetime.now(UTC)


@pytest.fixture
def clock(monkeypatch: Any) -> MovedClock:
    moved = MovedClock()
    monkeypatch.setattr(timezone, "now", moved.now)
    return moved


@pytest.fixture
def open_page(browser: Any, live_server: Any) -> Iterator[Callable[[Any], Page]]:
    contexts, troubles = [], []

    def sign_in(user: Any) -> Page:
        client = Client()
        client.force_login(user, backend=BACKEND)
        context = browser.new_context(base_url=live_server.url, viewport={"width": 1440, "height": 900})
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        client.get("/read/")  # so that the first page does not wait for all that is imported
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(f"script error: {error}"))
        page.on("console", lambda m: troubles.append(m.text) if "Content Security Policy" in m.text else None)
        return page

    yield sign_in
    for context in contexts:
        context.close()
    assert not troubles, troubles


def begin(page: Page, session: ReadingSession) -> None:
    """From the first page of the session to the board, by Tab and Space."""
    page.goto(f"/read/{session.token}/")
    page.get_by_label(re.compile("I have read this")).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")


def read_session(page: Page, answers: list[tuple[int, int]]) -> None:
    """Every case: look at every field, answer by digits, go on with Enter; then sign."""
    for n, (diagnosis, sure) in enumerate(answers, start=1):
        expect(page.locator("[data-title]")).to_have_text(f"Case {n} of {N_PATIENTS}", timeout=PATIENCE_MS)
        expect(page.locator(".strip-item.is-seen")).to_have_count(1, timeout=PATIENCE_MS)
        for field in range(2, N_FIELDS + 1):
            page.keyboard.press("f")
            expect(page.locator(".strip-item.is-seen")).to_have_count(field, timeout=PATIENCE_MS)
        page.keyboard.press(str(diagnosis))
        page.keyboard.press(f"Shift+Digit{sure}")
        expect(page.locator("[data-todo]")).to_have_text("This case is finished.", timeout=PATIENCE_MS)
        page.keyboard.press("Enter")
    page.get_by_label("Your full name").focus(timeout=PATIENCE_MS)
    page.keyboard.press("Control+a")
    page.keyboard.type("R. Reader")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.get_by_text("is signed and sealed")).to_be_visible(timeout=PATIENCE_MS)
    print(f"{len(answers)} cases signed")


def answers_of(made: MadeStudy, reader: int, number: int) -> list[tuple[int, int]]:
    """What this reader will say, case by case; differs between readers and between sessions."""
    return [(1 + (n * (reader + 2) + number) % 5, 1 + (n + number) % 5) for n in range(N_PATIENTS)]


def test_three_readers_and_a_repeat_over_the_washout(
    open_page: Callable[[Any], Page], make_user: Callable[..., Any], clock: MovedClock, monkeypatch: Any,
    coordinator: Any, run_jobs: Callable[[], int],
) -> None:  # fmt: skip
    monkeypatch.setattr(factories, "make_patients", draw_patients)
    users = [make_user("pathologist", f"reader{n}") for n in (1, 2, 3)]
    made = factories.make_study(
        users=users, coordinator=coordinator, n_cases=N_PATIENTS, n_fields=N_FIELDS, sessions=["blinded"] * 2,
        idle_minutes=240, endpoints=[{"metric": "accuracy", "role": "primary", "comparison": "none"}],
    )  # fmt: skip
    for reader in range(3):
        page = open_page(users[reader])
        begin(page, made.session(reader, 1))
        read_session(page, answers_of(made, reader, 1))
        assert made.session(reader, 1).state == "sealed"
    second = made.session(0, 2)
    assert second.opens_at is not None
    assert second.opens_at >= START + timedelta(days=42)

    clock.move_to(second.opens_at - timedelta(minutes=1))
    page = open_page(users[0])
    page.goto(f"/read/{second.token}/")
    refused = page.locator(".reading-date").inner_text()
    print(f"41 days 23:59 after the last look: {refused}")
    assert re.match(r"This session opens on \w+ 2027-02-\d\d, \d\d:\d\d \(.+\)\.", refused)
    assert page.get_by_role("button", name="Begin").count() == 0

    clock.move_to(second.opens_at)
    begin(page, second)
    read_session(page, answers_of(made, 0, 2))

    assert Reading.objects.count() == 4 * N_PATIENTS
    for reader, number in [(0, 1), (1, 1), (2, 1), (0, 2)]:
        session = made.session(reader, number)
        rows = list(session.readings.values_list("diagnosis", "confidence", "n_viewed"))
        expected = [(CLASSES[d - 1], sure, N_FIELDS) for d, sure in answers_of(made, reader, number)]
        assert rows == expected
        assert seal_verify(session)
        assert all(ms > 0 for ms in session.readings.values_list("active_ms", flat=True))
    orders = [list(made.session(0, n).readings.values_list("study_case_id", flat=True)) for n in (1, 2)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert ReadingSession.objects.filter(state="planned").count() == 2  # the others' repeats wait
    analyse(made, coordinator, run_jobs)


def analyse(made: MadeStudy, coordinator: Any, run_jobs: Callable[[], int]) -> None:
    """What was read in the browser comes out of the analysis answer by answer, and the bundle checks itself."""
    study = Study.objects.get(pk=made.study.pk)
    why = "two repeats were not wanted"
    study_freeze(actor=coordinator, study=study, signature=sign(coordinator), stop_reason=why)
    study_unblind(actor=coordinator, study=study, reason="everybody has read", signature=sign(coordinator))
    client = Client()
    client.force_login(coordinator, backend=BACKEND)
    address = client.post(f"/studies/{study.public_id}/analyses/")["Location"]
    run_jobs()
    files = [client.get(f"{address}files/{name}").content for name in ("readings.csv", "bundle.zip")]
    rows = list(csv.DictReader(io.StringIO(files[0].decode("utf-8-sig"))))
    said = Counter(Reading.objects.values_list("study_case__code", "diagnosis"))
    assert Counter((row["case"], row["answer_five"]) for row in rows) == said
    verdict = verify(files[1], version=Analysis.objects.get().result.app_version)
    assert verdict.intact, verdict.problems
    print(f"{len(rows)} answers analysed and exported; the bundle is intact")
