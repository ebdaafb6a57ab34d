"""Patients of a study that one reads do not exist for one outside of reading, on no page and in no list."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, reverse

from cases.models import HpfImage, Patient, Slide
from inference.models import PatientPrediction, PipelineRun, PipelineVersion
from leukoweb.core.blindfold import hidden_patients
from leukoweb.core.middleware import required_action
from leukoweb.core.models import Job
from leukoweb.core.permissions import ACTIONS
from reader_study.models import ProtocolVersion, Study, StudyCase, StudyReader
from reader_study.services.studies import study_create
from tests.conftest import BACKEND
from tests.core.test_access import OURS
from tests.reader_study.factories import MadeStudy, make_patients, make_study
from tests.reader_study.protocols import complete

pytestmark = pytest.mark.django_db
MakeUser = Callable[..., Any]


def client_of(user: Any) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user, backend=BACKEND)
    return client


@pytest.fixture
def made(make_user: MakeUser) -> MadeStudy:
    """Two patients of a study with results, and one patient of the same cohort who is not in it."""
    made = make_study(users=[make_user("pathologist", "reader")], n_cases=2, n_fields=1)
    make_patients(made.study.cohort, 1, 1, start=2)
    pipeline = PipelineVersion.objects.create(name="p", version="1", rule_set={}, is_active=True)
    for slide in Slide.objects.all():
        job = Job.objects.create(kind="inference.run", title=f"p on {slide.code}", queue="infer", status="done")
        run = PipelineRun.objects.create(pipeline=pipeline, slide=slide, job=job)
        PatientPrediction.objects.create(run=run, patient=slide.patient, slide=slide, diagnosis="AML")
    return made


def object_addresses(patient: Patient) -> Iterator[tuple[str, URLPattern]]:
    """Every address of the product that names this patient, a slide, an image, a run or a job of theirs."""
    slide = patient.slides.get()
    image, run = slide.images.get(), slide.runs.get()
    for path, entry in OURS:
        if path.startswith("read/") or "<" not in path:
            continue
        words = path.split("/")
        number = {"patients": patient.pk, "slides": slide.pk}.get(words[0] or "")
        if words[:2] == ["api", "v1"]:
            number = {"patients": patient.pk, "slides": slide.pk}.get(words[2])
        named = {"public_id": image.public_id, "run": run.public_id, "image": image.public_id, "other": run.public_id}
        concrete = path
        for name in re.findall(r"<(?:\w+:)?(\w+)>", path):
            value = number if name == "pk" else named.get(name, "model_1" if name != "pk" else None)
            concrete = re.sub(rf"<(?:\w+:)?{name}>", str(value), concrete)
        uses_image = "<uuid:public_id>" in path and words[0] != "images" and "images" not in words
        if (
            "None" not in concrete
            and not uses_image
            and any(w in words for w in ("patients", "slides", "images", "results", "runs"))
        ):
            yield f"/{concrete}", entry


def test_addresses_of_a_hidden_patient_answer_like_those_of_nobody(made: MadeStudy) -> None:
    client = client_of(made.readers[0].user)
    hidden, open_patient = made.cases[0].patient, Patient.objects.latest("id")
    answered, tried = 0, 0
    for (path, entry), (open_path, _) in zip(
        object_addresses(hidden), object_addresses(open_patient), strict=True
    ):  # fmt: skip
        if "pathologist" not in ACTIONS[required_action(entry.callback) or ""][1]:
            continue
        assert client.get(path).status_code in (404, 405), path
        tried += 1
        answered += client.get(open_path).status_code == 200
    assert tried >= 8
    assert answered >= 6  # the same addresses work for a patient who is in no study of theirs


LISTS = ("/", "/cohorts/", "/cohorts/{cohort}/", "/cohorts/{cohort}/patients/", "/cohorts/{cohort}/runs/", "/results/",
         "/jobs/", "/references/")  # fmt: skip


def test_no_list_shows_a_hidden_patient(made: MadeStudy) -> None:
    client = client_of(made.readers[0].user)
    hidden = [case.patient.code for case in made.cases] + [c.patient.slides.get().code for c in made.cases]
    other = Patient.objects.latest("id")
    shown = 0
    for path in LISTS:
        page = client.get(path.format(cohort=made.study.cohort_id)).content.decode()
        assert not [code for code in hidden if code in page], path
        shown += other.code in page or other.slides.get().code in page
    assert shown >= 4


def test_other_people_see_them(made: MadeStudy, make_user: MakeUser) -> None:
    patient = made.cases[0].patient
    for role in ("technician", "coordinator", "admin", "pathologist"):
        assert client_of(make_user(role)).get(f"/patients/{patient.pk}/").status_code == 200


@pytest.mark.parametrize(
    ("state", "withdrawn", "status"),
    [("draft", False, 200), ("locked", False, 404), ("reading", False, 404), ("frozen", False, 404),
     ("unblinded", False, 200), ("stopped", False, 200), ("reading", True, 200)],
)  # fmt: skip
def test_from_the_lock_until_the_unblinding(made: MadeStudy, state: str, withdrawn: bool, status: int) -> None:
    from django.utils import timezone

    Study.objects.update(state=state)
    if withdrawn:
        StudyReader.objects.update(withdrawn_at=timezone.now())
    client = client_of(made.readers[0].user)
    assert client.get(f"/patients/{made.cases[0].patient_id}/").status_code == status


def test_posts_do_not_reach_them_either(made: MadeStudy) -> None:
    client = client_of(made.readers[0].user)
    slide = made.cases[0].patient.slides.get()
    before = PipelineRun.objects.count()
    assert client.post(f"/slides/{slide.pk}/runs/new/").status_code == 404
    assert PipelineRun.objects.count() == before


def test_a_later_role_does_not_lift_it(made: MadeStudy) -> None:
    """Whoever becomes a coordinator after reading still cannot look the patients up."""
    user = made.readers[0].user
    user.role = "coordinator"
    user.save()
    client = client_of(user)
    assert client.get(f"/patients/{made.cases[0].patient_id}/references/").status_code == 404
    assert client.get(f"/patients/{made.cases[0].patient_id}/").status_code == 404


@pytest.mark.parametrize("blind", [True, False])
def test_who_sees_a_part_of_the_patients_neither_locks_nor_analyses_them(made: MadeStudy, blind: bool) -> None:
    """A list, a check or a table from what they see would look whole: the third patient alone."""
    user = made.readers[0].user
    user.role = "coordinator"
    user.save()
    Study.objects.filter(pk=made.study.pk).update(state="frozen" if blind else "unblinded")
    cases = {"cohort": made.study.cohort.name, "patients": "all", "training": []}
    draft = study_create(actor=user, title="On the same patients", document=complete(cases=cases))
    read = Study.objects.create(title="Read already", cohort=made.study.cohort, state="unblinded")
    read.coordinators.add(user)
    StudyCase.objects.create(study=read, patient=made.cases[0].patient, code="C-1", manifest=[], manifest_sha256="")
    ProtocolVersion.objects.create(study=read, version=1, document=complete(cases=cases), sha256="0" * 64)
    client, words = client_of(user), b"hidden from you"
    assert (words in client.get(reverse("study_lock", args=[draft.public_id])).content) == blind
    asked = client.post(reverse("analysis_list", args=[read.public_id]))
    assert (words in asked.content, asked.status_code == 403) == (blind, blind)


def test_outside_of_a_request_nothing_is_hidden(made: MadeStudy) -> None:
    client_of(made.readers[0].user).get("/cohorts/")
    assert hidden_patients() == ()
    assert Patient.objects.count() == HpfImage.objects.count() == 3


def test_it_costs_one_query(made: MadeStudy, make_user: MakeUser, django_assert_max_num_queries: Any) -> None:
    client = client_of(make_user("pathologist"))
    with django_assert_max_num_queries(12) as counted:
        client.get(f"/patients/{made.cases[0].patient_id}/")
    asked = [q for q in counted.captured_queries if "reader_study_studycase" in q["sql"]]
    assert len(asked) == 1
