"""One of everything that has an address, small, so that tests can ask every address with something behind it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from cases.models import CaptureDevice, Cohort, DatasetVersion, HpfImage, Patient, Slide, SortingTask, UploadBatch
from cases.services.datasets import dataset_freeze
from cases.services.sorting_tasks import People, task_create
from cases.services.taxonomies import taxonomy_ensure
from cases.services.uploads import Announced, upload_batch_create, upload_items_add
from inference.models import PipelineVersion
from inference.pipeline.rules import RULE_SETS
from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.models import Job, Role, User
from tests.cases.datasets.rows import SMALL, choices_of, cohort_make, labelled
from tests.reader_study.factories import MadeStudy, make_study


@dataclass
class World:
    """``users`` by role; ``ids`` by the name of a URL's converter, some of them by the beginning of the address."""

    users: dict[str, User]
    cohort: Cohort
    patient: Patient
    slide: Slide
    image: HpfImage
    batch: UploadBatch
    task: SortingTask
    dataset: DatasetVersion
    study: MadeStudy
    job: Job
    pipeline: PipelineVersion
    ids: dict[str, dict[str, Any]] = field(default_factory=dict)


def make_world() -> World:
    users = {role: User.objects.create_user(username=role, password="correct horse", role=role) for role in Role.values}
    second = User.objects.create_user(username="second", password="correct horse", role=Role.PATHOLOGIST)
    study = make_study(
        users=[users["pathologist"], second], coordinator=users["coordinator"], n_cases=2, n_fields=1
    )  # fmt: skip
    cohort = study.study.cohort
    assert cohort is not None
    patient = Patient.objects.filter(cohort=cohort).first()
    assert patient is not None
    slide = patient.slides.get()
    slide.device, _ = CaptureDevice.objects.get_or_create(camera="DP73", microscope="BX53")
    slide.save()
    training, labels = cohort_make("Training", SMALL)
    dataset = dataset_freeze(
        actor=users["admin"], name="Set", choices=choices_of([training], [labelled(training, labels)], seed=5)
    )
    task = task_create(
        actor=users["admin"], name="First sorting", cohorts=[training], people=People([users["pathologist"]]),
        taxonomy=taxonomy_ensure(),
    )
    batch = upload_batch_create(actor=users["technician"], cohort=None, slide=slide, slides=[])
    (item,) = upload_items_add(batch=batch, files=[Announced("a/field.png", 5, hashlib.sha256(b"a").hexdigest(), "")])
    job = job_create(kind="demo.first", title="A job", payload={}, actor=users["technician"], key="x")
    pipeline = PipelineVersion.objects.create(name="starter", version="1", rule_set=RULE_SETS["paper-fig2"].as_dict())
    image = slide.images.first()
    assert image is not None
    world = World(users, cohort, patient, slide, image, batch, task, dataset, study, job, pipeline)
    world.ids = {
        "api/v1/datasets/": {"id": dataset.public_id},
        "api/v1/slides/": {"id": slide.pk},
        "api/v1/sorting/": {"id": task.public_id},
        "api/v1/uploads/": {"id": batch.pk, "item_id": item.pk},
        "api/v1/studies/": {"public_id": study.study.public_id},
        "api/v1/jobs/": {"id": job.pk},
    }
    return world
