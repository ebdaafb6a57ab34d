"""The coordinator's API and the commands: the same services, the same refusals, no answers."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from leukoweb.core.models import User
from reader_study.models import DraftReading, ReadingSession, SessionCase, SessionImage, Study
from reader_study.protocol import dump_yaml, load_yaml, protocol_sha256
from tests.conftest import BACKEND
from tests.reader_study.protocols import reader
from tests.reader_study.studies import draft, make_locked, make_study, mark, sessions, user, world

pytestmark = pytest.mark.django_db
PROOF = {"signed_name": "Dr C", "password": "correct horse"}


@pytest.fixture
def coordinator(db: None) -> User:
    return world()


class Api:
    def __init__(self, who: User) -> None:
        self.client = Client()
        self.client.force_login(who, backend=BACKEND)

    def __call__(self, verb: str, path: str, body: Any = None) -> tuple[int, Any]:
        response = getattr(self.client, verb)(
            f"/api/v1/studies/{path}",
            **({} if verb == "get" else {"data": json.dumps(body), "content_type": "application/json"}),
        )  # fmt: skip
        return response.status_code, response.json() if response.content else None


def test_the_whole_way_by_api(coordinator: User) -> None:
    api = Api(coordinator)
    status, made = api("post", "", {"title": "By API", "protocol": draft()})
    assert (status, made["state"], made["title"]) == (201, "draft", "By API")
    here = f"{made['id']}/"
    _, draft_now = api("get", here + "protocol/")
    changed = draft_now["protocol"] | {"washout_days": 28}
    assert api("put", here + "protocol/", {"protocol": changed, "draft_version": 0})[0] == 200
    status, stale = api("put", here + "protocol/", {"protocol": draft_now["protocol"], "draft_version": 0})
    assert (status, stale["error"]["code"]) == (409, "E_STALE")
    _, checks = api("get", here + "checks/")
    assert (checks["problems"], checks["n_patients"], checks["n_images"]) == ([], 6, 18)
    sha256 = protocol_sha256(changed)
    status, refused = api("post", here + "lock/", PROOF | {"sha256": sha256, "password": "wrong"})
    assert (status, refused["error"]["code"]) == (403, "E_SIGNATURE")
    status, locked = api("post", here + "lock/", PROOF | {"sha256": sha256})
    assert (status, locked["version"], locked["sha256"]) == (201, 1, sha256)
    _, grid = api("get", here + "grid/")
    assert [(row["reader"], row["number"], len(row["cases"])) for row in grid] == [
        ("P1", 1, 6),
        ("P1", 2, 6),
        ("P2", 1, 6),
    ]
    day = (timezone.localdate() + timezone.timedelta(days=9)).isoformat()
    assert api("post", here + "extend/", PROOF | {"closes_on": day, "reason": "more time"})[1]["closes_on"] == day
    amendment = PROOF | {"protocol": locked["protocol"] | {"closes_on": None}, "reason": "no last day"}
    status, stale = api("post", here + "amend/", amendment | {"version": 1})
    assert (status, stale["error"]["code"]) == (409, "E_STALE")
    assert api("post", here + "amend/", amendment | {"version": 2})[1]["version"] == 3
    swap = {"reader": "P2", "label": "P2b", "username": "p3", "reason": "left us"}
    assert api("post", here + "replace/", PROOF | swap)[0] == 201
    status, early = api("post", here + "freeze/", PROOF)
    assert (status, early["error"]["code"]) == (409, "E_UNFINISHED")
    assert api("post", here + "freeze/", PROOF | {"stop_reason": "test over"})[1]["state"] == "stopped"
    assert api("post", here + "unblind/", PROOF | {"reason": "as planned"})[1]["state"] == "unblinded"
    _, listed = api("get", "")
    assert [row["title"] for row in listed["results"]] == ["By API"]


def test_another_coordinators_study_does_not_exist(coordinator: User) -> None:
    study = make_locked(coordinator)
    api = Api(user("coordinator", "other"))
    assert api("get", "")[1]["results"] == []
    for verb, path in [
        ("get", ""), ("get", "protocol/"), ("get", "checks/"), ("get", "grid/"), ("post", "lock/"), ("post", "amend/"),
        ("post", "extend/"), ("post", "replace/"), ("post", "freeze/"), ("post", "unblind/"), ("post", "readings/"),
    ]:  # fmt: skip
        assert api(verb, f"{study.public_id}/{path}", {})[0] == 404, path


def test_readings_by_api(coordinator: User) -> None:
    study = make_locked(coordinator, readers=[reader("P1", ""), reader("P2", "p2")])
    lines = ["case,reader,session,diagnosis"]
    lines += [f"{code},P1,1,AML" for code in study.cases.values_list("code", flat=True)]
    api = Api(coordinator)
    status, body = api("post", f"{study.public_id}/readings/", PROOF | {"readings": "\n".join(lines[:-1])})
    assert (status, body["error"]["code"]) == (400, "E_READING")
    status, body = api("post", f"{study.public_id}/readings/", PROOF | {"readings": "\n".join(lines)})
    assert (status, body) == (201, {"readings": 6, "warnings": []})


def test_bad_documents_are_refused_by_path(coordinator: User) -> None:
    api = Api(coordinator)
    status, body = api("post", "", {"title": "T", "protocol": draft() | {"washout_days": "x"}})
    assert (status, body["error"]["field"]) == (400, "washout_days")
    assert api("post", "", {"title": "T", "protocol": [1]})[0] == 400


def test_no_answer_leaves_by_the_grid(coordinator: User) -> None:
    study = make_locked(coordinator)
    session = sessions(study)[0]
    mark(session, "open")
    SessionCase.objects.filter(session=session).update(opened_at=timezone.now(), active_ms=1000)
    SessionImage.objects.filter(case__session=session).update(seen_at=timezone.now())
    DraftReading.objects.filter(case__session=session).update(answer={"diagnosis": "CANARY", "confidence": 3})
    _, grid = Api(coordinator)("get", f"{study.public_id}/grid/")
    assert grid[0]["n_done"] == 6
    assert "CANARY" not in json.dumps(grid)


# -- commands ---------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[str, str]:
    out, errors = io.StringIO(), io.StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=errors)
    except CommandError as error:
        return out.getvalue(), f"{errors.getvalue()}{error}"
    return out.getvalue(), errors.getvalue()


def test_check_says_everything_with_lines(coordinator: User, tmp_path: Path) -> None:
    study = make_study(coordinator)
    file = tmp_path / "p.yaml"
    file.write_text(dump_yaml(study.draft), encoding="utf-8")
    out, errors = run("study_protocol", "check", str(file), "--study", "A study")
    assert "can be locked. SHA-256 " + protocol_sha256(study.draft) in out
    assert errors == ""
    file.write_text(dump_yaml(study.draft).replace("washout_days: 42", "washout_days: lots"), encoding="utf-8")
    assert re.search(r"Line \d+: washout_days: A whole number", run("study_protocol", "check", str(file))[1])
    assert "cannot be read" in run("study_protocol", "check", str(tmp_path / "none"))[1]
    file.write_bytes(b"a: &x 1")
    assert "anchors" in run("study_protocol", "check", str(file))[1]


def test_check_names_what_differs_from_the_lock(coordinator: User, tmp_path: Path) -> None:
    study = make_locked(coordinator)
    text = dump_yaml(study.draft)
    file = tmp_path / "p.yaml"
    file.write_text(text, encoding="utf-8")
    assert "can be locked" in run("study_protocol", "check", str(file), "--study", "A study")[0]
    file.write_text(text.replace("I agree to read", "I agree to reed"), encoding="utf-8")
    errors = run("study_protocol", "check", str(file), "--study", "A study")[1]
    assert "consent: 'I agree to read blinded.' -> 'I agree to reed blinded.'" in errors
    assert "1 items differ from version 1, which is locked." in errors


def test_export_and_import_are_the_same_file(coordinator: User, tmp_path: Path) -> None:
    study = make_study(coordinator)
    file = tmp_path / "p.yaml"
    assert "The draft was written" in run("study_protocol", "export", "A study", str(file))[0]
    assert run("study_protocol", "export", "A study")[0] == file.read_text(encoding="utf-8")
    assert load_yaml(file.read_bytes()) == study.draft
    file.write_text(file.read_text().replace("title: A study", "title: Another"), encoding="utf-8")
    assert "Draft made" in run("study_protocol", "import", str(file), "--coordinator", "coordinator")[0]
    assert "Draft replaced" in run("study_protocol", "import", str(file), "--coordinator", "coordinator")[0]
    assert Study.objects.get(title="Another").draft == study.draft | {"title": "Another"}
    assert "no user" in run("study_protocol", "import", str(file), "--coordinator", "nobody")[1]
    assert "Only a coordinator" in run("study_protocol", "import", str(file), "--coordinator", "p1")[1]
    assert "There is no study" in run("study_protocol", "export", "None such")[1]


def test_the_command_cannot_change_a_locked_protocol(coordinator: User, tmp_path: Path) -> None:
    study = make_locked(coordinator)
    file = tmp_path / "p.yaml"
    file.write_text(dump_yaml(study.draft | {"washout_days": 1}), encoding="utf-8")
    assert "can only be amended" in run("study_protocol", "import", str(file), "--coordinator", "coordinator")[1]


def test_status_counts_and_tells_nothing(coordinator: User) -> None:
    study = make_locked(coordinator)
    session = sessions(study)[0]
    mark(session, "open")
    SessionImage.objects.filter(case__session=session).update(seen_at=timezone.now())
    DraftReading.objects.filter(case__session=session).update(answer={"diagnosis": "CANARY", "confidence": 3})
    out = run("study_status")[0]
    assert "A study: Being read: 0 of 3 sessions sealed, protocol 1, 6 cases" in out
    assert re.search(r"P1 +1 +open +6 of 6", out)
    found = json.loads(run("study_status", "A study", "--json")[0])
    assert (found[0]["state"], found[0]["sessions"][0]["n_done"]) == ("reading", 6)
    assert "CANARY" not in out + json.dumps(found)
    assert "There is no study" in run("study_status", "None such")[1]
    assert ReadingSession.objects.count() == 3
