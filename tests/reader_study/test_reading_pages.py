"""One session from consent to seal, over HTTP: what is stored, refused and said."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from leukoweb.core.audit import chain_verify
from leukoweb.core.models import AuditEvent
from reader_study.models import DraftEvent, DraftReading, Reading, ReadingSession, SessionCase, SessionImage
from reader_study.selectors.reading import class_line
from reader_study.services.seals import seal_verify
from tests.reader_study.factories import CLASSES, PASSWORD, make_study
from tests.reader_study.journey import Journey, begun

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
MakeUser = Callable[..., Any]
START = datetime(2027, 1, 4, 9, 0, tzinfo=UTC)


@pytest.fixture
def reader(make_user: MakeUser) -> Any:
    return make_user("pathologist", "reader")


def test_a_session_from_consent_to_seal(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=3, n_fields=2, sessions=["blinded"] * 2)
    with time_machine.travel(START, tick=False) as clock:
        journey = begun(made)
        for line in journey.get_json("state/")["cases"]:
            clock.shift(60)
            journey.read_case(line["case"], "AML", comment="=1+1", key_images=[2], recognised=line["n"] == 2)
        clock.shift(60)
        assert journey.seal().status_code == 302
    session = made.session()
    readings = list(session.readings.select_related("study_case"))
    assert {r.study_case_id for r in readings} == {c.pk for c in made.cases}
    for reading, case in zip(readings, session.cases.select_related("identity"), strict=True):
        assert reading.study_case_id == case.identity.study_case_id
        assert (reading.position, reading.n_images, reading.n_viewed, reading.coverage) == (case.position, 2, 2, 1.0)
        assert reading.key_images == [case.images.get(position=2).capture_position]
        assert reading.active_ms == 0  # the clock stood: no more time than really went by is believed
        assert reading.recognised == (reading.position == 2)
    assert session.state == "sealed"
    assert seal_verify(session)
    assert session.seal.signed_name == "R. Reader"
    assert not DraftReading.objects.filter(case__session=session).exists()
    assert made.session(0, 2).opens_at == START + timedelta(seconds=180, days=42)
    assert chain_verify().intact
    assert AuditEvent.objects.filter(action="reading.seal").count() == 1


def test_nothing_of_a_sealed_session_can_be_reached(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=2, n_fields=1)
    journey = begun(made)
    journey.read_all()
    case, image = SessionCase.objects.first(), SessionImage.objects.first()
    journey.seal()
    for path in ("", "board/", "state/", "seal/", f"case/{case.token}/", f"image/{image.token}/"):
        assert journey.ask("GET", journey.base + path).status_code == 404
    status, _ = journey.answer(case.token, {"diagnosis": "ALL"}, 1)
    assert status == 404
    assert Reading.objects.count() == 2


def test_a_session_that_is_not_finished_cannot_be_sealed(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=2, n_fields=2)
    journey = begun(made)
    first, second = journey.get_json("state/")["cases"]
    journey.read_case(first["case"], "AML")
    journey.post_json(f"case/{second['case']}/show/")
    journey.answer(second["case"], {"diagnosis": "CML", "confidence": 2}, 0)  # answered, but no field was looked at
    page = journey.ask("GET", journey.base + "seal/").recorded.decode()
    assert "2 of 2 cases answered" in page
    assert "fields that you have not seen" in page
    assert journey.ask(
        "POST", journey.base + "seal/", {"signed_name": "R", "password": PASSWORD, "agree": "on"}
    ).status_code == 409  # fmt: skip
    assert not Reading.objects.exists()
    assert made.session().state == "open"


def test_a_wrong_password_signs_nothing(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=1)
    journey = begun(made)
    journey.read_all()
    response = journey.ask("POST", journey.base + "seal/", {"signed_name": "R", "password": "wrong", "agree": "on"})
    assert response.status_code == 400
    assert made.session().state == "open"


def test_every_page_of_a_reader_says_whom_to_ask_and_the_board_has_the_instructions(
    reader: Any, coordinator: Any, make_user: MakeUser
) -> None:
    made = make_study(users=[reader], coordinator=coordinator, n_cases=2, n_fields=1, n_training=1,
                      sessions=["blinded"] * 2)  # fmt: skip
    coordinator.first_name, coordinator.last_name, coordinator.email = "Clara", "Nowak", "clara@example.org"
    coordinator.save()
    second = make_user("coordinator", "zoe")
    made.study.coordinators.add(second)
    another = make_user("coordinator", "xaver")
    make_study(users=[reader], coordinator=another, n_cases=1, n_fields=1, title="Another")
    journey = begun(made)
    asked = 'Clara Nowak (<a href="mailto:clara@example.org">clara@example.org</a>) or zoe, who coordinate the study.'
    for path in (journey.base, f"{journey.base}board/", f"{journey.base}seal/", f"/read/{made.session(0, 2).token}/"):
        page = journey.ask("GET", path).recorded.decode()
        assert asked in page, path
        assert "xaver" not in page, path
    home = journey.ask("GET", "/read/").recorded.decode()
    assert home.count(asked) == 2
    assert "Questions go to xaver, who coordinates the study." in home
    board = journey.ask("GET", f"{journey.base}board/").recorded.decode()
    dialog = board[board.index("<dialog data-instructions") :]
    dialog = dialog[: dialog.index("</dialog>")]
    assert "Look at every field, then decide." in dialog
    assert "The first case is for training" in dialog
    assert "How well do readers agree?" in dialog
    assert board.count('data-action="instructions"') == 2  # in the bar, and on a phone below the answer
    second.is_active = False
    second.save()
    assert "zoe" not in journey.ask("GET", journey.base).recorded.decode()


def test_no_mail_is_promised_without_a_mail_server(reader: Any, settings: Any) -> None:
    made = make_study(users=[reader], n_cases=1, n_fields=1, sessions=["blinded"] * 2)
    ReadingSession.objects.filter(number=2).update(opens_at=timezone.now() + timedelta(days=1))
    journey = Journey("reader", made.session(0, 2))
    journey.login()
    assert "You get a mail when the session opens" in journey.ask("GET", journey.base).recorded.decode()
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    page = journey.ask("GET", journey.base).recorded.decode()
    assert "No mail comes when the session opens" in page
    assert "You get a mail" not in page


def test_the_washout_is_refused_with_the_date_to_the_minute(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=2, n_fields=1, sessions=["blinded"] * 2)
    with time_machine.travel(START, tick=False) as clock:
        journey = begun(made)
        early = journey.ask("GET", f"/read/{made.session(0, 2).token}/")
        assert "after session 1 is sealed" in early.recorded.decode()
        journey.read_all()
        journey.seal()
        for days, opens in [(timedelta(days=41, hours=23, minutes=59), False), (timedelta(days=42), True)]:
            clock.move_to(START + days)
            second = Journey("reader", made.session(0, 2))
            second.login()
            second.ask("POST", second.base, second.agrees)
            found = second.records[-1]
            assert found.status == (302 if opens else 409)
            if not opens:
                assert "Monday 2027-02-15, 10:00 (Europe/Berlin)" in found.body.decode()
                assert second.ask("GET", second.base + "board/").status_code == 404
                home = second.ask("GET", "/read/").recorded.decode()
                assert "Monday 2027-02-15, 10:00 (Europe/Berlin)" in home
        tokens = [set(s.cases.values_list("token", flat=True)) for s in made.sessions]
        assert tokens[0].isdisjoint(tokens[1])
        assert made.session(0, 2).state == "open"


def test_forward_only_goes_forward_only(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=3, n_fields=1, navigation="forward_only")
    journey = begun(made)
    cases = list(made.session().cases.values_list("token", flat=True))
    state = journey.get_json("state/")
    assert [line["case"] for line in state["cases"]] == cases[:1]  # later tokens are not even told
    assert journey.post_json(f"case/{cases[2]}/show/")[0] == 409
    assert journey.post_json("next/")[0] == 409  # not answered yet
    journey.read_case(cases[0], "AML")
    status, case = journey.post_json("next/")
    assert (status, case["case"]) == (200, cases[1])
    assert journey.post_json(f"case/{cases[0]}/show/")[0] == 409
    assert journey.answer(cases[0], {"diagnosis": "ALL", "confidence": 1}, 1)[0] == 409
    assert made.session().current == 2


def test_the_same_key_is_one_deed_and_two_tabs_do_not_overwrite(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=1, n_fields=1)
    journey = begun(made)
    token = made.session().cases.get().token
    journey.post_json(f"case/{token}/show/")
    body = {"key": str(uuid.uuid4()), "version": 0, "answer": {"diagnosis": "AML", "confidence": 3}}
    first = journey.post_json(f"case/{token}/answer/", body)
    assert journey.post_json(f"case/{token}/answer/", body) == first
    status, clash = journey.answer(token, {"diagnosis": "CLL", "confidence": 1}, 0)
    assert (status, clash["version"], clash["answer"]["diagnosis"]) == (409, 1, "AML")
    assert journey.answer(token, {"diagnosis": "CLL", "confidence": 1}, 1)[0] == 200
    events = list(DraftEvent.objects.values_list("version", "old__diagnosis", "new__diagnosis"))
    assert events == [(1, "", "AML"), (2, "AML", "CLL")]


@pytest.mark.parametrize(
    "answer",
    [
        {"diagnosis": "HAIRY_CELL"},
        {"diagnosis": "AML", "cannot_decide": True},
        {"confidence": 6},
        {"confidence": True},
        {"key_images": [3]},
        {"key_images": ["1"]},
        {"comment": "x" * 4001},
        {"comment": 7},
        {"reference": "AML"},
        {"display": {"gamma": 2}},
        {"display": {"brightness": "1"}},
        {"recognised": "yes"},
    ],
)
def test_odd_answers_are_refused_by_name(reader: Any, answer: dict[str, Any]) -> None:
    made = make_study(users=[reader], n_cases=1, n_fields=2)
    journey = begun(made)
    status, body = journey.answer(made.session().cases.get().token, answer, 0)
    assert status == 400
    assert body["error"]["code"] == "E_ANSWER"
    assert not DraftEvent.objects.exists()


def test_what_is_pasted_from_a_document_does_not_keep_the_diagnosis_from_being_stored(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=1, n_fields=1)
    journey = begun(made)
    pasted = "Auer\x02 rods\x0bmany\tblasts\r\n\x0c\x7fAPL?"
    answer = {"diagnosis": "AML", "comment": pasted, "recognised_note": "\x1f"}
    assert journey.answer(made.session().cases.get().token, answer, 0)[0] == 200
    stored = DraftReading.objects.get().answer
    assert (stored["diagnosis"], stored["recognised_note"]) == ("AML", "")
    assert stored["comment"] == "Auer rods\nmany\tblasts\n\nAPL?"


def test_an_answer_whose_reply_was_lost_is_acknowledged_after_the_case_was_left(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=2, n_fields=1, navigation="forward_only")
    journey = begun(made)
    first = made.session().cases.get(position=1).token
    path, body = f"case/{first}/answer/", {"key": str(uuid.uuid4()), "version": 0, "answer": {"diagnosis": "AML"}}
    assert journey.post_json(path, body)[0] == 200
    ReadingSession.objects.update(current=2)  # another window went on
    assert journey.post_json(path, body)[1]["version"] == 1
    late = {"key": str(uuid.uuid4()), "version": 1, "answer": {"diagnosis": "ALL"}}
    status, refused = journey.post_json(path, late)
    assert (status, refused["error"]["code"]) == (409, "E_FORWARD")


def test_the_first_nine_classes_have_a_digit() -> None:
    assert [class_line(f"C{n}", n)["key"] for n in (1, 9, 10)] == ["1", "9", ""]


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{", '{"key": 1}', '{"key": "x", "version": 0, "answer": {}}', '{"key":"a","key":"b"}',
     '{"key": "00000000-0000-0000-0000-000000000001", "version": -1, "answer": {}}',
     '{"key": "00000000-0000-0000-0000-000000000001", "version": 0, "answer": {}, "fields": "all"}'],
)  # fmt: skip
def test_broken_bodies_get_a_clear_answer(reader: Any, body: str) -> None:
    made = make_study(users=[reader], n_cases=1, n_fields=1)
    journey = begun(made)
    path = f"{journey.base}case/{made.session().cases.get().token}/answer/"
    response = journey.client.post(path, body, content_type="application/json")
    assert response.status_code == 400
    assert json.loads(response.content)["error"]["message"]


def test_seen_reports_are_totals(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=1, n_fields=2)
    with time_machine.travel(START, tick=False) as clock:
        journey = begun(made)
        token = made.session().cases.get().token
        _, case = journey.post_json(f"case/{token}/show/")
        image = case["fields"][0]["image"]
        clock.shift(100)
        for mask, ms in [("00000000000000f0", 40_000), ("000000000000000f", 30_000)]:
            journey.post_json(f"case/{token}/seen/", {"active_ms": ms, "fields": {image: {"ms": ms, "coverage": mask}}})
        journey.post_json(
            f"case/{token}/seen/", {"active_ms": 999_999, "fields": {"foreign": {"ms": 1, "coverage": "0" * 16}}}
        )
    case_row, seen = SessionCase.objects.get(), SessionImage.objects.get(token=image)
    assert case_row.active_ms == 100_000  # not more than went by since it was opened
    assert (seen.seen_ms, seen.coverage) == (40_000, "00000000000000ff")
    assert SessionImage.objects.filter(seen_at=None).count() == 1


def test_consent_is_needed_and_recorded(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=1)
    journey = Journey("reader", made.session())
    journey.login()
    assert journey.ask("POST", journey.base, {"time_zone": "Europe/Berlin"}).status_code == 400
    assert journey.ask("GET", journey.base + "board/").status_code == 404
    journey.consent()
    reader_row = made.readers[0]
    reader_row.refresh_from_db()
    assert reader_row.consented_at is not None
    assert reader_row.time_zone == "Europe/Berlin"
    assert made.session().opened_at <= timezone.now()


def test_consent_counts_for_the_text_that_was_shown(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=1)
    session = made.session()
    journey = Journey("reader", session)
    journey.login()
    shown = journey.ask("GET", journey.base).recorded.decode()
    assert '<input type="hidden" name="version" value="1">' in shown
    session.rules |= {"version": 2, "consent": "I let the sponsor see my name."}
    session.save(update_fields=["rules"])
    for old in (journey.agrees, {"agreed": "on"}):
        refused = journey.ask("POST", journey.base, old)
        page = refused.recorded.decode()
        assert refused.status_code == 409
        assert "changed after you opened this page. Read it again" in page
        assert "I let the sponsor see my name." in page
        assert "checked" not in page
    made.readers[0].refresh_from_db()
    assert (made.session().state, made.readers[0].consented_at) == ("planned", None)
    assert journey.ask("POST", journey.base, journey.agrees | {"version": 2}).status_code == 302
    assert AuditEvent.objects.get(action="reading.open").data["protocol"] == 2


def test_a_time_zone_that_nobody_knows_is_utc(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=1)
    journey = Journey("reader", made.session())
    journey.login()
    journey.ask("POST", journey.base, journey.agrees | {"time_zone": "../../etc/passwd"})
    made.readers[0].refresh_from_db()
    assert made.readers[0].time_zone == "UTC"


def test_cannot_decide_needs_a_reason_and_counts_as_an_answer(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=1, n_fields=1)
    journey = begun(made)
    token = made.session().cases.get().token
    journey.read_case(token, "", cannot_decide=True, confidence=None)
    assert journey.get_json("state/")["cases"][0]["answered"] is False
    journey.answer(token, {"cannot_decide": True, "reason": "Too few cells"}, 1)
    assert journey.get_json("state/")["cases"][0]["answered"] is True
    journey.seal()
    reading = Reading.objects.get()
    assert (reading.cannot_decide, reading.diagnosis, reading.reason) == (True, "", "Too few cells")


@pytest.mark.parametrize("n_cases", [2, 6])
def test_query_counts_do_not_grow_with_the_rows(reader: Any, n_cases: int, request: Any) -> None:
    made = make_study(users=[reader], n_cases=n_cases, n_fields=n_cases, sessions=["blinded"] * (n_cases // 2))
    journey = begun(made)
    journey.records.clear()
    journey.ask("GET", "/read/")
    journey.get_json("state/")
    journey.read_case(made.session().cases.first().token, "AML")
    journey.ask("GET", journey.base + "seal/")
    shown = [(r.path.split("/")[-2], r.queries) for r in journey.records if "/image/" not in r.path]
    known = request.config.cache.get("reading/queries", None)
    if n_cases == 2:
        request.config.cache.set("reading/queries", shown and [list(line) for line in shown])
    else:
        paths = [line[1] for line in shown]
        assert known is None or [line[1] for line in known] == paths
    assert all(queries < 16 for _, queries in shown), shown
    assert CLASSES
    assert ReadingSession.objects.exists()


def test_a_reader_is_told_before_beginning_how_often_and_what_for(reader: Any) -> None:
    made = make_study(users=[reader], n_cases=2, n_fields=1, n_training=1, sessions=["blinded"] * 2)
    journey = Journey("reader", made.session())
    journey.login()
    page = journey.ask("GET", journey.base).content.decode()
    assert "Session 1 of 2, 3 cases" in page
    assert "The first case is for training" in page
    assert "in 2 sessions, each in an order of its own, with at least 42 days between" in page
