"""The worker: what it stores, what it does not compute twice, and where it stops."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from inference.models import ImagePrediction, PatientPrediction, PipelineRun
from inference.pipeline.close_calls import CloseCalls
from inference.pipeline.hierarchy import decide
from inference.pipeline.rules import RuleSet
from inference.services.registry import pipeline_create
from inference.services.runs import run_request
from inference.worker import engines, prediction
from leukoweb.core.jobs import ledger
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.models import Job
from leukoweb.core.storage import blobs

pytestmark = pytest.mark.django_db


class Counting:
    """An engine that counts the images it is given, and can die before a batch."""

    def __init__(self, engine: Any, die_at: int | None = None) -> None:
        self.engine, self.die_at, self.n_images, self.n_calls = engine, die_at, 0, 0
        self.profile = engine.profile

    def infer(self, batch: Any, *, with_features: bool = False) -> Any:
        self.n_calls += 1
        if self.die_at is not None and self.n_calls >= self.die_at:
            raise SystemExit("killed")
        self.n_images += len(batch)
        return self.engine.infer(batch, with_features=with_features)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Counting]]:
    """Wrap every engine that the worker opens; returns the wrappers, in order of opening."""
    real = engines.open_engine

    def install(die_at: int | None = None) -> list[Counting]:
        made: list[Counting] = []

        def open_counted(*args: Any, **kwargs: Any) -> Counting:
            made.append(Counting(real(*args, **kwargs), die_at if not made else None))
            return made[-1]

        engines._open.clear()
        monkeypatch.setattr(engines, "open_engine", open_counted)
        return made

    yield install
    engines._open.clear()


@pytest.mark.both_databases
def test_a_run_stores_probabilities_and_the_decision_that_follows_from_them(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any
) -> None:
    slide = make_slide(5)
    run = run_request(actor=technician, slide=slide)
    assert run_jobs() == 1
    run.refresh_from_db()
    assert run.job.status == Job.Status.DONE, run.job.error
    result = run.prediction
    assert ImagePrediction.objects.count() == 5 * len(set(pipeline.slots.values()))
    assert [entry["position"] for entry in result.images] == [1, 2, 3, 4, 5]
    tables = {}
    for slot in RuleSet.from_dict(pipeline.rule_set).slots:
        model = pipeline.slots[slot]
        rows = {p.content_sha256: p.probabilities for p in ImagePrediction.objects.filter(model=model)}
        tables[slot] = np.array([rows[entry["content_sha256"]] for entry in result.images])
        assert tables[slot].shape == (5, len(model.classes))
        assert np.allclose(tables[slot].sum(axis=1), 1)
    decision = decide(RuleSet.from_dict(pipeline.rule_set), **tables)
    assert (result.diagnosis, result.diagnosis_3, result.diagnosis_5) == (
        decision.diagnosis, decision.diagnosis_3, decision.diagnosis_5)  # fmt: skip
    assert result.trace == decision.trace
    assert result.engine_profile == run.engine_profile != ""
    assert result.app_version


def test_a_second_run_of_the_same_images_computes_nothing(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, counted: Any
) -> None:
    slide = make_slide(4)
    run_request(actor=technician, slide=slide)
    run_jobs()
    made = counted()
    again = run_request(actor=technician, slide=slide)
    run_jobs()
    assert sum(engine.n_images for engine in made) == 0
    first, second = PatientPrediction.objects.order_by("id")
    assert second.run == again
    assert first.trace == second.trace


def test_other_rules_are_applied_without_running_a_model(
    pipeline: Any, other_pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, counted: Any
) -> None:
    slide = make_slide(4)
    first = run_request(actor=technician, slide=slide)
    run_jobs()
    made = counted()
    second = run_request(actor=technician, slide=slide, pipeline=other_pipeline)
    run_jobs()
    assert sum(engine.n_images for engine in made) == 0
    assert first.prediction.rule_set_sha256 != second.prediction.rule_set_sha256
    assert (second.prediction.diagnosis_3, second.prediction.diagnosis_5) == (first.prediction.diagnosis_3, "")


def test_the_cascade_decides_as_the_full_run(pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any) -> None:
    cascade = run_request(actor=technician, slide=make_slide(4, seed=1), mode="cascade")
    run_jobs()
    full = run_request(actor=technician, slide=make_slide(4, seed=1))
    run_jobs()
    assert cascade.prediction.trace == full.prediction.trace
    assert cascade.prediction.diagnosis == full.prediction.diagnosis


@pytest.mark.both_databases
def test_a_killed_worker_loses_one_batch_at_most_and_doubles_nothing(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, counted: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(prediction, "BATCH", 2)
    slide = make_slide(7)
    first_life = counted(die_at=3)
    run = run_request(actor=technician, slide=slide)
    with pytest.raises(SystemExit):
        run_jobs()
    job = Job.objects.get(pk=run.job_id)
    assert job.status == Job.Status.RUNNING, "a killed worker writes nothing"
    assert (job.done_units, job.total_units) == (4, 7)
    assert not PatientPrediction.objects.filter(run=run).exists()
    saved = set(ImagePrediction.objects.values_list("content_sha256", "model"))

    Job.objects.filter(pk=job.pk).update(lease_until=job.started_at)  # the lease runs out
    second_life = counted()
    assert ledger.reap() == [job.pk]
    run_jobs()
    job.refresh_from_db()
    assert job.status == Job.Status.DONE, job.error
    assert sum(engine.n_images for engine in second_life) == 3 * len(set(pipeline.slots.values())), (
        "only what was not saved"
    )
    assert saved < set(ImagePrediction.objects.values_list("content_sha256", "model"))
    assert ImagePrediction.objects.count() == 7 * len(set(pipeline.slots.values()))
    assert len(PatientPrediction.objects.get(run=run).images) == 7
    undisturbed = run_request(actor=technician, slide=make_slide(7, seed=1))  # the same pictures, never interrupted
    run_jobs()
    assert undisturbed.prediction.trace == run.prediction.trace
    assert first_life[0].n_calls == 3


def test_a_field_that_kills_its_worker_fails_after_three_attempts_and_is_named(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, monkeypatch: Any
) -> None:
    """The others around it are saved; the next slide is not held up."""
    from inference.worker import images as worker_images

    monkeypatch.setattr(prediction, "BATCH", 2)
    slide, healthy = make_slide(6), make_slide(3)
    poison = slide.images.get(position=4).content_sha256
    real, deaths = worker_images.prepare, []

    def prepare(image: Any, *rest: Any) -> Any:
        if image.content_sha256 == poison:
            deaths.append(image.position)
            raise SystemExit(9)
        return real(image, *rest)

    monkeypatch.setattr(worker_images, "prepare", prepare)
    run, other = run_request(actor=technician, slide=slide), run_request(actor=technician, slide=healthy)
    for _ in range(12):
        with contextlib.suppress(SystemExit):
            run_jobs()
        Job.objects.filter(status=Job.Status.RUNNING).update(lease_until=run.job.created_at)
        ledger.reap()
        run.job.refresh_from_db()
        if not run.job.is_active:
            break
    assert (run.job.status, run.job.error_code) == (Job.Status.FAILED, "E_WORKER_LOST")
    assert "field 4" in run.job.error
    assert len(deaths) == 5, "in its batch, alone after field 3 was saved, and three times without getting further"
    saved = ImagePrediction.objects.filter(content_sha256__in=slide.images.values("content_sha256"))
    assert saved.values("content_sha256").distinct().count() == 3
    run_jobs()
    assert PatientPrediction.objects.filter(run=other).exists()


def test_a_model_in_two_slots_is_computed_once(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, counted: Any
) -> None:
    """The comparator may share the weights of model 3."""
    models = pipeline.slots | {"single_model": pipeline.model_3}
    rules = RuleSet.from_dict(pipeline.rule_set)
    shared = pipeline_create(actor=None, name="shared", version="1", rule_set=rules, models=models)
    made = counted()
    run = run_request(actor=technician, slide=make_slide(3), pipeline=shared)
    run_jobs()
    assert sum(engine.n_images for engine in made) == 3 * len(set(models.values()))
    assert set(run.prediction.images[0]["profiles"]) == set(rules.slots)


@pytest.mark.both_databases
def test_cancel_stops_between_batches_and_keeps_what_is_saved(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(prediction, "BATCH", 2)
    run = run_request(actor=technician, slide=make_slide(6))
    real, calls = CloseCalls.add, []

    def cancel_at_first(*args: Any) -> Any:
        if not calls:
            ledger.job_cancel(actor=technician, job=run.job)
        calls.append(1)
        return real(*args)

    monkeypatch.setattr(CloseCalls, "add", cancel_at_first)
    run_jobs()
    run.job.refresh_from_db()
    assert run.job.status == Job.Status.CANCELLED
    assert ImagePrediction.objects.count() == 2 * len(set(pipeline.slots.values()))
    assert not PatientPrediction.objects.exists()
    ledger.job_retry(actor=technician, job=run.job)
    run_jobs()
    run.job.refresh_from_db()
    assert run.job.status == Job.Status.DONE
    assert len(calls) == (1 + 4) * len(set(pipeline.slots.values())), "one batch of two, then four fields one by one"


def test_no_images_gives_no_decision_with_its_reason(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any
) -> None:
    run = run_request(actor=technician, slide=make_slide(0))
    run_jobs()
    result = PatientPrediction.objects.get(run=run)
    assert not result.decided
    assert (result.diagnosis, result.diagnosis_3, result.diagnosis_5) == ("", "", "")
    assert "no usable images" in result.reason


def test_two_images_are_decided_and_flagged(pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any) -> None:
    run = run_request(actor=technician, slide=make_slide(2))
    run_jobs()
    assert "below the study's minimum" in PatientPrediction.objects.get(run=run).flags


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_lost_file_fails_the_run_and_names_the_field(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, damage: str
) -> None:
    slide = make_slide(4)
    path = blobs().path(slide.images.get(position=3).content_sha256)
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-1] + b"x")
    run = run_request(actor=technician, slide=slide)
    run_jobs()
    run.job.refresh_from_db()
    assert (run.job.status, run.job.error_code) == (Job.Status.FAILED, "E_IMAGE_LOST")
    assert "field 3" in run.job.error
    assert damage in run.job.error
    assert not PatientPrediction.objects.exists()


def test_cascade_runs_later_models_only_behind_an_open_gate(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, monkeypatch: Any
) -> None:
    real = prediction.softmax
    says: dict[int, list[float]] = {2: [0.1, 0.9]}
    monkeypatch.setattr(
        prediction, "softmax", lambda x: np.tile(says[x.shape[1]], (len(x), 1)) if x.shape[1] in says else real(x)
    )
    shut = run_request(actor=technician, slide=make_slide(3), mode="cascade")
    run_jobs()
    assert set(ImagePrediction.objects.values_list("model__slot", flat=True)) == {"model_1"}
    assert shut.prediction.diagnosis == "NO_LEUKEMIA"
    assert [step["step"] for step in shut.prediction.trace] == ["gate"]
    assert set(shut.prediction.images[0]["profiles"]) == {"model_1"}, "not run is not negative"

    says[2] = [0.9, 0.1]
    opened = run_request(actor=technician, slide=make_slide(3), mode="cascade")
    run_jobs()
    assert set(opened.prediction.images[0]["profiles"]) == {"model_1", "model_2", "model_3"}
    opened.job.refresh_from_db()
    shut.job.refresh_from_db()
    assert (opened.job.done_units, opened.job.total_units) == (6, 6)
    rows = [(j.done_units, j.total_units, j.note, j.error) for j in (shut.job, opened.job)]
    assert rows[0] == rows[1], "who may not see the result learns nothing from the job"


def test_the_job_of_a_cascade_tells_of_no_model_while_it_runs(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, monkeypatch: Any
) -> None:
    told: list[tuple[int, int, str]] = []
    real = JobContext.progress

    def listen(self: Any, done: int, total: int, note: str = "") -> None:
        told.append((done, total, note))
        real(self, done, total, note)

    monkeypatch.setattr(JobContext, "progress", listen)
    run_request(actor=technician, slide=make_slide(3), mode="cascade")
    run_jobs()
    assert {total for _, total, _ in told} == {6}
    assert not any("model" in note for _, _, note in told)
    assert len({note.partition(" on ")[2] for _, _, note in told}) == 1, "the profiles of all models, in both passes"


def test_a_queued_run_of_a_withdrawn_patient_says_so_and_computes_nothing(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, admin_user: Any
) -> None:
    """The pixels are gone: it would ask for the field to be uploaded again."""
    from cases.services.withdrawals import patient_withdraw

    slide = make_slide(2)
    run = run_request(actor=technician, slide=slide)
    patient_withdraw(actor=admin_user, patient=slide.patient, reason="asked to")
    Job.objects.filter(pk=run.job_id).update(status="queued", cancel_requested=False)  # just taken by a worker
    run_jobs()
    run.job.refresh_from_db()
    assert (run.job.status, run.job.error) == (
        "failed", "This patient was withdrawn before the run began; nothing was computed."
    )  # fmt: skip
    assert not ImagePrediction.objects.exists()


def test_a_patient_withdrawn_meanwhile_gets_no_result(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, admin_user: Any, monkeypatch: Any
) -> None:
    from cases.services.withdrawals import patient_withdraw

    slide = make_slide(3)
    run = run_request(actor=technician, slide=slide)
    real = prediction.decide

    def withdraw_first(*args: Any, **kwargs: Any) -> Any:
        patient_withdraw(actor=admin_user, patient=slide.patient, reason="asked to")
        return real(*args, **kwargs)

    monkeypatch.setattr(prediction, "decide", withdraw_first)
    run_jobs()
    run.job.refresh_from_db()
    assert (run.job.status, run.job.error_code) == (Job.Status.FAILED, "E_WITHDRAWN")
    assert not PatientPrediction.objects.exists()


def test_a_finished_run_done_again_is_left_alone(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any
) -> None:
    """Redelivery after the result was stored, before the job was marked done."""
    run = run_request(actor=technician, slide=make_slide(3))
    run_jobs()
    Job.objects.filter(pk=run.job_id).update(status=Job.Status.QUEUED)
    assert run_jobs() == 1
    assert PatientPrediction.objects.filter(run=run).count() == 1
    assert PipelineRun.objects.count() == 1
