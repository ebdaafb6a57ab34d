"""A frozen dataset version of small coloured pictures, one colour per label, and settings that train it in seconds."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cases.taxonomy import LABELS, MAPS
from tests.inference.shell.conftest import make_slide, other_pipeline, pipeline, pipeline_folder  # noqa: F401 - fixtures

COLOURS = {
    "AML": (200, 60, 60), "ALL": (60, 60, 200), "APML": (200, 60, 160), "CML": (60, 160, 60), "CLL": (60, 170, 180),
    "REACTIVE": (220, 200, 60), "NO_LEUKEMIA": (225, 215, 220),
}  # fmt: skip
TINY = {"name": "densenet", "growth_rate": 4, "block_config": [1, 1], "num_init_features": 8, "bn_size": 2}
FAST = {
    "epochs": 3, "batch_size": 8, "learning_rate": 5e-3, "threads": 1, "seed": 3, "recalibration_images": 32,
}  # fmt: skip


def picture(label: str, seed: int) -> bytes:
    """A noisy field in the label's colour; every seed gives other bytes."""
    random = np.random.default_rng([seed, LABELS.index(label)])
    pixels = np.clip(np.array(COLOURS[label]) + random.normal(0, 25, (64, 80, 3)), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def config(**changes: Any) -> Any:
    """A training of seconds; ``settings`` are merged."""
    from inference.pipeline.training_config import TrainingConfig

    settings = FAST | changes.pop("settings", {})
    base = {"models": ["model_1"], "architecture": dict(TINY), "size_px": 32, "settings": settings}
    return TrainingConfig.from_dict(base | changes)


def freeze(
    patients: dict[str, int] | None = None, *, n_images: int = 3, name: str = "tiny", internal: int = 1,
    purpose: str = "development", seed: int = 0, synthetic: bool = True,
) -> Any:  # fmt: skip
    """A dataset version: for each label so many training patients, and ``internal`` more for validation."""
    from cases.models import CaptureDevice, Cohort, Patient, Slide, Taxonomy
    from cases.services.images import image_add

    cohort, _ = Cohort.objects.get_or_create(name=f"{name} {purpose}", defaults={"purpose": purpose, "synthetic": True})
    taxonomy, _ = Taxonomy.objects.get_or_create(
        name="test", version=1,
        defaults={"labels": [], "sha256": "0" * 64, "maps": {
            key: {"classes": list(m.classes), "by_label": dict(m.by_label)} for key, m in MAPS.items()}},
    )  # fmt: skip
    device, _ = CaptureDevice.objects.get_or_create(camera="DP73", microscope="BX53")
    rows: list[tuple[Any, Any, str, str]] = []
    for label, n in (patients or dict.fromkeys(LABELS, 2)).items():
        for i in range(n + internal):
            code = f"{name}-{label[:4]}-{i}"
            patient = Patient.objects.create(code=code, cohort=cohort)
            slide = Slide.objects.create(code=f"{code}-S", patient=patient, device=device if i % 2 else None)
            for j in range(n_images):
                added = image_add(actor=None, slide=slide, data=picture(label, seed + 1000 * i + j), name=f"{j}.png")
                rows.append((added.image, patient, label, "train" if i < n else "internal"))
    return write_version(name, taxonomy, rows, synthetic=synthetic)


def write_version(
    name: str, taxonomy: Any, rows: list[tuple[Any, Any, str, str]], version: int = 1, *, synthetic: bool = True
) -> Any:
    """The rows of a version with its manifest, as the freezing service leaves them; any row, also a wrong one."""
    from cases.manifests import Line, manifest
    from cases.models import DatasetEntry, DatasetVersion
    from leukoweb.core.storage import blobs

    rows = sorted(rows, key=lambda row: (row[1].code, row[0].slide.code, row[0].content_sha256))
    lines = [Line(p.code, image.slide.code, image.content_sha256, label, split, 0) for image, p, label, split in rows]
    content = manifest(choices={}, taxonomy={}, lines=lines, left_out=[], decisions_sha256="0" * 64)
    dataset = DatasetVersion.objects.create(
        name=name, version=version, taxonomy=taxonomy, class_map="five", choices={}, flow=[], counts={}, proof=[],
        manifest_sha256=blobs().put(content), n_images=len(rows),
        n_patients=len({p.pk for _, p, _, _ in rows}), synthetic=synthetic,
    )  # fmt: skip
    DatasetEntry.objects.bulk_create(
        [
            DatasetEntry(
                dataset=dataset, number=n, image=image, patient=patient, patient_code=patient.code,
                slide_code=image.slide.code, content_sha256=image.content_sha256, label=label, split=split,
            )
            for n, (image, patient, label, split) in enumerate(rows, start=1)
        ]
    )  # fmt: skip
    return dataset


@pytest.fixture
def frozen(db: None) -> Any:
    return freeze()


@pytest.fixture
def weights_folder(data_dir: Path) -> Path:
    (data_dir / "weights").mkdir()
    return data_dir / "weights"


def admin_run(actor: Any, dataset: Any, run_jobs: Callable[[], int], plan: Any, name: str = "first") -> Any:
    """A finished run with its candidate pipeline evaluated."""
    from inference.models import TrainingRun
    from inference.services.training import training_create, training_start

    run = training_create(actor=actor, dataset=dataset, config=plan, name=name)
    training_start(actor=actor, run=run)
    run_jobs()
    run = TrainingRun.objects.select_related("job", "pipeline").get(pk=run.pk)
    assert run.job.status == "done", (run.job.error, run.job.hint)
    return run


@pytest.fixture
def trained(frozen: Any, run_jobs: Callable[[], int], admin_user: Any) -> Any:
    """All three models."""
    return admin_run(admin_user, frozen, run_jobs, config(models=["model_1", "model_2", "model_3"]))
