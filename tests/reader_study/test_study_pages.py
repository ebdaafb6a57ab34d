"""Pages of the coordinator: signed deeds, mails, the grid; and that nobody else gets there."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leukoweb.core.audit import audit_record
from leukoweb.core.models import AuditEvent, User
from leukoweb.core.templatetags.words import when as shown_when
from leukoweb.core.words import when_text
from reader_study.models import CaseIdentity, DraftReading, ReadingSession, SessionCase, SessionImage, Study
from reader_study.protocol import dump_yaml, protocol_sha256
from reader_study.selectors.grid import study_grid
from reader_study.services import studies
from tests.conftest import BACKEND
from tests.reader_study.pages import SIGNED, url
from tests.reader_study.protocols import reader
from tests.reader_study.studies import cohort, make_locked, make_study, mark, sessions, user, world

pytestmark = pytest.mark.django_db


@pytest.fixture
def coordinator(db: None) -> User:
    return world()


@pytest.fixture
def client(coordinator: User) -> Client:
    client = Client()
    client.force_login(coordinator, backend=BACKEND)
    return client


def test_the_protocol_in_words_leaves_nothing_out(client: Client, coordinator: User) -> None:
    study = make_study(coordinator)
    for name in ("study_protocol", "study_lock"):
        page = client.get(url(name, study)).content.decode()
        for words in ("ALL<br>AML<br>CLL<br>CML<br>NO_LEUKEMIA", "Not typical of any class<br>Other", "starter 1"):
            assert words in page, (name, words)


def lock_page(client: Client, study: Study) -> str:
    page = client.get(url("study_lock", study)).content.decode()
    return re.search(r'name="sha256" value="([0-9a-f]{64})"', page)[1]  # type: ignore[index]


def test_locking_asks_for_the_password_again(client: Client, coordinator: User) -> None:
    study = make_study(coordinator)
    sha256 = lock_page(client, study)
    for wrong in ({"password": "wrong"}, {"password": ""}, {"agree": ""}, {"signed_name": ""}):
        assert client.post(url("study_lock", study), SIGNED | {"sha256": sha256} | wrong).status_code == 400
        study.refresh_from_db()
        assert study.state == "draft"
    studies.draft_save(actor=coordinator, study=study, document=study.draft | {"washout_days": 43}, version=0)
    again = client.post(url("study_lock", study), SIGNED | {"sha256": sha256})
    assert b"was changed after you opened it" in again.content
    study.refresh_from_db()
    sha256 = protocol_sha256(study.draft)
    assert f'value="{sha256}"' in again.content.decode(), "the next signature is for what the page shows now"
    assert client.post(url("study_lock", study), SIGNED | {"sha256": sha256}).status_code == 302
    study.refresh_from_db()
    assert study.state == "locked"
    protocol = study.protocols.get()
    assert (protocol.signed_name, protocol.sha256) == ("Dr C", sha256)
    assert AuditEvent.objects.get(action="study.lock").data["signature"]["method"] == "password"
    assert client.get(url("study_design", study)).status_code == 409


def test_without_a_password_a_fresh_confirmation_signs_once(client: Client, coordinator: User) -> None:
    import time

    coordinator.set_unusable_password()
    coordinator.save()
    client.force_login(coordinator, backend=BACKEND)
    studies = [make_study(coordinator, f"S{n}", readers=[reader("P1", f"p{n}")]) for n in (1, 2)]
    data = {"signed_name": "Dr C", "agree": "on"}
    refused = client.post(url("study_lock", studies[0]), data | {"sha256": lock_page(client, studies[0])})
    assert b"fresh confirmation" in refused.content
    session = client.session
    session["account_authentication_methods"] = [
        {"method": "mfa", "type": "webauthn", "at": time.time() - 400, "reauthenticated": True}
    ]
    session["account_authentication_methods_user"] = str(coordinator.pk)
    session.save()
    assert (
        client.post(url("study_lock", studies[0]), data | {"sha256": lock_page(client, studies[0])}).status_code == 400
    )
    session["account_authentication_methods"] = [
        {"method": "mfa", "type": "webauthn", "at": time.time() - 5, "reauthenticated": True}
    ]
    session.save()
    assert (
        client.post(url("study_lock", studies[0]), data | {"sha256": lock_page(client, studies[0])}).status_code == 302
    )
    again = client.post(url("study_lock", studies[1]), data | {"sha256": lock_page(client, studies[1])})
    assert again.status_code == 400
    assert AuditEvent.objects.get(action="study.lock").data["signature"]["method"] == "webauthn"


def test_a_one_time_code_signs(client: Client, coordinator: User) -> None:
    from allauth.mfa.totp.internal import auth

    secret = auth.generate_totp_secret()
    auth.TOTP.activate(coordinator, secret)
    study = make_study(coordinator)
    code = auth.format_hotp_value(auth.hotp_value(secret, next(iter(auth.yield_hotp_counters_from_time()))))
    data = {"signed_name": "Dr C", "agree": "on", "sha256": lock_page(client, study)}
    assert client.post(url("study_lock", study), data | {"code": "000000"}).status_code == 400
    assert client.post(url("study_lock", study), data | {"code": code}).status_code == 302


def test_the_whole_way_by_pages(client: Client, coordinator: User) -> None:
    study = make_locked(coordinator)
    assert client.get(url("study_extend", study)).status_code == 200
    day = timezone.localdate() + timezone.timedelta(days=30)
    client.post(url("study_extend", study), SIGNED | {"closes_on": day.isoformat(), "reason": "a reader was ill"})
    study.refresh_from_db()
    assert study.closes_on == day
    p1 = study.readers.get(label="P1")
    change = SIGNED | {"label": "P1b", "username": "p3", "reason": "left the hospital"}
    assert client.post(url("study_reader_replace", study, p1.pk), change).status_code == 302
    assert client.post(url("study_freeze", study), SIGNED).status_code == 400
    for session in sessions(study):
        if session.state == "planned":
            mark(session, "sealed")
    assert client.post(url("study_freeze", study), SIGNED).status_code == 302
    assert client.get(url("study_walk", study)).status_code == 409
    assert client.post(url("study_unblind", study), SIGNED).status_code == 400
    assert client.post(url("study_unblind", study), SIGNED | {"reason": "as planned"}).status_code == 302
    study.refresh_from_db()
    assert study.state == "unblinded"
    assert client.get(url("study_protocol", study)).content.count(b"Version ") >= 3
    page = client.get(url("study_detail", study)).content.decode()
    for words in ("<strong>Frozen</strong> by coord", "<strong>Unblinded</strong> by coord", ": as planned"):
        assert words in page
    history = f"/audit/?on=study:{study.pk}"
    assert history in page
    told = client.get(history).content.decode()
    for words in (f"History of study {study}", "study.unblind", "session.void", f"P1, session 1 of {study}"):
        assert words in told


def test_the_history_of_a_study_is_for_its_own_coordinators(client: Client, coordinator: User) -> None:
    study = make_locked(coordinator)
    audit_record(actor=None, action="reading.open", target=f"session:{sessions(study)[0].pk}", data={"case": "secret"})
    own = client.get(f"/audit/?on=study:{study.pk}").content.decode()
    assert study.title in own
    assert "reading.open" in own
    for role in ("coordinator", "admin"):
        other = Client()
        other.force_login(user(role, f"other-{role}"), backend=BACKEND)
        for address in ("/audit/", f"/audit/?on=study:{study.pk}", "/audit/?action=reading.open"):
            page = other.get(address).content.decode()
            assert study.title not in page
            assert "secret" not in page
        alone = other.get(f"/audit/?on=study:{study.pk}").content.decode()
        assert "study.lock" in alone
        assert 'session:' not in alone.split("<tbody>")[1], "which sessions belong to it is for its coordinators"


def test_an_amendment_shows_its_changes_before_it_is_signed(client: Client, coordinator: User) -> None:
    study = make_locked(coordinator)
    text = dump_yaml(study.draft | {"closes_on": "2030-01-01"})
    first = {"version": 1, "protocol": text, "reason": "more time"}
    page = client.post(url("study_amend", study), first | {"do": "preview"})
    assert "closes_on: None -&gt; &#x27;2030-01-01&#x27;" in page.content.decode()
    assert study.protocols.count() == 1
    assert client.post(url("study_amend", study), SIGNED | first).status_code == 302
    assert study.protocols.count() == 2
    assert '<input type="hidden" name="version" value="2"' in client.get(url("study_amend", study)).content.decode()
    for late in ({"do": "preview"}, SIGNED):  # from the page of before
        assert b"version 2 is in force" in client.post(url("study_amend", study), late | first).content
    second = {"version": 2, "reason": "more time"}
    never = dump_yaml(study.draft | {"order_seed": 5})
    refused = client.post(url("study_amend", study), SIGNED | second | {"protocol": never})
    assert b"order_seed cannot change after the lock" in refused.content
    pipeline = {"primary": {"name": "starter", "version": "9"}, "comparators": []}
    text = dump_yaml(study.draft | {"ai": pipeline})
    page = client.post(url("study_amend", study), second | {"do": "preview", "protocol": text})
    assert b"There is no pipeline starter 9" in page.content  # what stops the signature shows before it
    make_study(coordinator, "Taken")
    text = dump_yaml(study.draft | {"title": "Taken"})
    refused = client.post(url("study_amend", study), SIGNED | second | {"protocol": text})
    assert (refused.status_code, b"There is a study with the title" in refused.content) == (400, True)


def test_mails_say_nothing(client: Client, coordinator: User) -> None:
    study = make_locked(coordinator)
    User.objects.filter(username="p1").update(email="p1@example.org")
    Study.objects.filter(pk=study.pk).update(closes_on="2027-01-31")
    client.post(url("study_invite", study))
    assert [message.to for message in mail.outbox] == [["p1@example.org"]]
    text = mail.outbox[0].subject + mail.outbox[0].body
    for secret in (study.title, "P1", "AML", "External", "starter", str(study.public_id)):
        assert secret not in text
    assert "The last day of reading is\nSunday 2027-01-31. Please read" in mail.outbox[0].body
    assert AuditEvent.objects.get(action="study.invite").data == {
        "readers": ["P1"], "without": ["P2"], "failed": [], "disabled": [],
    }  # fmt: skip


def test_an_invitation_that_did_not_leave_is_said(
    client: Client, coordinator: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    from django.core.mail.backends.locmem import EmailBackend

    study = make_locked(coordinator)
    for name in ("p1", "p2"):
        User.objects.filter(username=name).update(email=f"{name}@example.org")
    send, gone = EmailBackend.send_messages, [False]

    def sometimes(self: Any, letters: list[Any]) -> int:
        gone[0] |= letters[0].to == ["p1@example.org"]
        if gone[0]:  # as a connection that has ended, until a new one is opened
            raise SMTPServerDisconnected("gone")
        return send(self, letters)

    def anew(self: Any) -> None:
        gone[0] = False

    def dead(self: Any) -> None:
        raise ConnectionRefusedError("nobody there")

    def invite(again: str = "yes") -> str:
        mail.outbox.clear()
        return client.post(url("study_invite", study), {"again": again}, follow=True).content.decode()

    with monkeypatch.context() as patched:
        patched.setattr(EmailBackend, "send_messages", sometimes)
        patched.setattr(EmailBackend, "open", anew)
        page = invite("")
        assert "The mail server took the mails to P2." in page
        assert "The mail server did not take the mails to P1." in page
        patched.setattr(EmailBackend, "open", dead)
        page = invite()
        assert "The mail server did not take the mails to P1, P2." in page
    assert "No mail server is set" not in page
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    page = invite()
    assert "No mail was sent to P1, P2: no mail server is set. Tell them yourself that they read at" in page
    assert "nobody is invited or reminded by mail" in page
    assert not re.search("took the mails|on their way", page)
    failed = [event.data["failed"] for event in AuditEvent.objects.filter(action="study.invite").order_by("pk")]
    assert failed == [["P1"], ["P1", "P2"], ["P1", "P2"]]


def test_who_was_invited_is_not_written_to_again_in_passing(client: Client, coordinator: User) -> None:
    study = make_locked(coordinator, readers=[reader(f"P{n}", f"p{n}") for n in (1, 2, 3)])
    for n in (1, 2, 3):
        User.objects.filter(username=f"p{n}").update(email=f"p{n}@example.org", is_active=n != 3)

    def invite(**data: str) -> tuple[list[str], str]:
        mail.outbox.clear()
        page = client.post(url("study_invite", study), data, follow=True).content.decode()
        return [letter.to[0] for letter in mail.outbox], page

    page = client.get(url("study_detail", study)).content.decode()
    assert "Invite all again" not in page
    sent, page = invite()
    assert sent == ["p1@example.org", "p2@example.org"]
    assert "Disabled, so not written to: P3." in page
    assert "Invite all again" in page
    User.objects.filter(username="p3").update(is_active=True)
    sent, page = invite()
    assert sent == ["p3@example.org"]
    assert "Invited before, so not written to again: P1, P2." in page
    assert invite(again="yes")[0] == ["p1@example.org", "p2@example.org", "p3@example.org"]
    Study.objects.filter(pk=study.pk).update(closes_on="2026-01-31")
    sent, page = invite(again="yes")
    assert sent == []
    assert "Reading in this study ended on Saturday 2026-01-31." in page


def test_a_session_that_opens_after_the_last_day_stands_out(client: Client, coordinator: User) -> None:
    study = make_locked(coordinator)
    second = next(session for session in sessions(study) if session.number == 2)
    for day, late in (("2027-03-01", False), ("2027-02-28", True)):
        opens = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
        rules = second.rules | {"closes_on": day}
        ReadingSession.objects.filter(pk=second.pk).update(opens_at=opens, rules=rules)
        page = client.get(url("study_detail", study)).content.decode()
        assert "not before" in page
        assert ("after the last day" in page) == late


def test_the_grid_shows_states_and_times_and_never_an_answer(client: Client, coordinator: User) -> None:
    study = make_locked(coordinator)
    first = sessions(study)[0]
    mark(first, "open")
    cases = list(SessionCase.objects.filter(session=first).order_by("position"))
    sure, unsure = {"diagnosis": "AML", "confidence": 4}, {"diagnosis": "AML", "confidence": None}
    cannot: dict[str, Any] = {"diagnosis": "", "cannot_decide": True}
    answers = [sure, cannot | {"reason": "Too few cells"}, unsure, cannot | {"reason": ""}, cannot]
    for case, answer in zip(cases, answers, strict=False):
        SessionCase.objects.filter(pk=case.pk).update(opened_at=timezone.now(), active_ms=61_000)
        DraftReading.objects.filter(case=case).update(answer=answer)
    SessionImage.objects.filter(case__in=cases[1:]).update(seen_at=timezone.now())
    assert study_grid(study)[1][0].n_done == 1, "an answer before all fields were seen does not end a case"
    SessionImage.objects.filter(case__in=cases[:1]).update(seen_at=timezone.now())
    codes, rows = study_grid(study)
    by_code = {cell.code: cell for cell in rows[0].cells}
    names = [CaseIdentity.objects.get(case=case).study_case.code for case in cases]
    assert [by_code[name].state for name in names] == ["answered", "answered", "opened", "opened", "opened", ""], (
        "open as its reader is told, who is still to say how sure, or why not"
    )
    assert (rows[0].n_done, rows[0].median_seconds, rows[0].minutes_left) == (2, 61, 4)
    page = client.get(url("study_detail", study)).content.decode()
    assert "2 of 6" in page
    assert f"cases seen {shown_when(rows[0].first_at)} to {shown_when(rows[0].last_at)}" in page
    assert f"answered, 61 s, {when_text(by_code[names[0]].at)}" in page
    assert f"<li>{by_code[names[0]].words}</li>" in page, "as text, for fingers and keyboards too"
    assert not re.search(r"\bAML\b", page)
    assert codes == sorted(codes)


def test_the_grid_asks_the_same_number_of_questions_for_any_size(
    coordinator: User, django_assert_num_queries: Any
) -> None:
    small = make_locked(coordinator, "Small")
    cohort(30, name="Large", images=1)
    people = [reader(f"R{n}", user("pathologist", f"r{n}").username, ("blinded",) * 3) for n in range(4)]
    large = make_locked(
        coordinator, "Large", readers=people, cases={"cohort": "Large", "patients": "all", "training": []}
    )
    for study in (small, large):
        with django_assert_num_queries(5):
            _, rows = study_grid(study)
            assert [row.session.reader.user.username for row in rows]


ADDRESSES = [
    "study_detail", "study_design", "study_confounders", "study_protocol", "study_protocol_file", "study_lock",
    "study_amend", "study_extend", "study_freeze", "study_unblind", "study_walk",
]  # fmt: skip


@pytest.mark.parametrize("name", ADDRESSES)
def test_another_coordinators_study_does_not_exist(coordinator: User, name: str) -> None:
    study = make_study(coordinator)
    other = Client()
    other.force_login(user("coordinator", "other"), backend=BACKEND)
    known, unknown = other.get(url(name, study)), other.get(url(name, Study()))
    assert (known.status_code, unknown.status_code) == (404, 404)
    assert other.post(url(name, study)).status_code in (404, 405)


@pytest.mark.parametrize("role", ["technician", "pathologist", "admin"])
def test_no_other_role_gets_in(coordinator: User, role: str) -> None:
    study = make_study(coordinator)
    client = Client()
    client.force_login(user(role, "somebody"), backend=BACKEND)
    for name in (*ADDRESSES, "study_list"):
        args = [] if name == "study_list" else [study.public_id]
        assert client.get(reverse(name, args=args)).status_code == 403


def test_every_page_of_a_coordinator_says_that_it_is_being_read(client: Client, coordinator: User) -> None:
    study = make_locked(coordinator)
    mark(sessions(study)[0], "open")
    words = "Being read: 0 of 3 sessions sealed"
    assert words.lower() in client.get("/").content.decode()
    for address in ("/studies/", url("study_detail", study), url("analysis_list", study)):
        assert words in client.get(address).content.decode(), address
    for address in ("/api/v1/studies/", f"/api/v1/studies/{study.public_id}/"):
        body = client.get(address).json()
        found = body["results"][0] if "results" in body else body
        assert (found["state"], found["progress"], found["n_open"], found["n_sessions"]) == ("reading", words, 1, 3)


def test_errors_of_an_import_of_answers_are_not_folded_away(client: Client, coordinator: User) -> None:
    study = make_locked(coordinator)
    folded = "<details><summary>Import answers"
    assert folded in client.get(url("analysis_list", study)).content.decode()
    answer = client.post(url("analysis_evaluator_create", study), {"name": "Other"})
    assert answer.status_code == 400
    assert "<details open><summary>Import answers" in answer.content.decode()


def test_who_ends_a_study_sees_first_where_the_sessions_stand(client: Client, coordinator: User) -> None:
    study = make_locked(coordinator)
    all_of_them = sessions(study)
    mark(all_of_them[0], "sealed")
    mark(all_of_them[2], "open")
    page = client.get(url("study_freeze", study)).content.decode()
    lines = re.findall(r"<li>(P\d, session .*?)</li>", page)
    assert lines[0] == "P1, session 2: not opened yet, 0 of 6 cases"
    assert lines[1].startswith("P2, session 1: open")
    assert lines[2].startswith("P1, session 1: sealed")
