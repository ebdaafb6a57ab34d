"""Learning for real on drawn fields: ``python benchmarks/training_phantoms.py --out FOLDER --scale 0.2``.

Draws phantom patients in the paper's proportions (Table 1), freezes them as a dataset version, and trains through
``manage.py train`` in the starter configuration; then draws 64 unseen patients with cameras and stains that no training
field had, and evaluates. A control learns shuffled labels. As the shipped starter does, the network starts from weights
that know single cells, taught on other drawn patients; they stand in for an ImageNet start and come in as a local file.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cases.phantoms import HELD_OUT_STYLES, TRAINING_STYLES, draw_patient, encode_jpeg, patient_labels  # noqa: E402
from cases.phantoms.cohorts import EXTERNAL_PATIENTS, TRAINING_IMAGES, TRAINING_PATIENTS  # noqa: E402

INTERNAL_PATIENTS = {"ALL": 2, "AML": 7, "CLL": 2, "CML": 2, "NO_LEUKEMIA": 7}
INTERNAL_IMAGES = {"ALL": 20, "AML": 174, "CLL": 191, "CML": 151, "NO_LEUKEMIA": 344}
EXTERNAL_IMAGES = {"ALL": 346, "AML": 1252, "CLL": 225, "CML": 226, "NO_LEUKEMIA": 924}
WIDTH_PX = 640


def plan(patients, images, scale, seed, styles, kind):
    """[(code, diagnosis, variant, style, n_fields, seed)] in the proportions of Table 1."""
    out = []
    for diagnosis, n in patients.items():
        total = max(3 * n, round(images[diagnosis] * scale))
        for i in range(n):
            own = seed + len(out)
            if diagnosis == "NO_LEUKEMIA" and i < 2:  # model 2 needs reactive fields on every side
                while "REACTIVE" not in patient_labels(diagnosis, seed=own, n_fields=total // n):
                    own += 1000
            variant = "APML" if diagnosis == "AML" and i % 7 == 3 else diagnosis
            fields = total // n + (i < total % n)
            code = f"PHANTOM-{kind}-{len(out):03}"
            out.append((code, diagnosis, variant, styles[len(out) % len(styles)], fields, own))
    return out


def draw(order):
    code, diagnosis, variant, style, n_fields, seed = order
    fields = draw_patient(variant, seed=seed, style=style, n_fields=n_fields, width_px=WIDTH_PX)
    return code, diagnosis, style, [(encode_jpeg(field), field.label) for field in fields]


def take_in(cohort, orders, workers):
    """Patients, slides, images and references through the services; [(image, patient, label)]."""
    from cases.phantoms import STYLES
    from cases.services import image_add, reference_add, slide_ensure

    rows = []
    with ProcessPoolExecutor(workers) as pool:
        for code, diagnosis, style, fields in pool.map(draw, orders):
            device = STYLES[style].device
            slide = slide_ensure(
                actor=None, cohort=cohort, patient_code=code, slide_code=f"{code}-S1", camera=device["camera"],
                microscope=device["microscope"],
            )  # fmt: skip
            reference_add(actor=None, patient=slide.patient, diagnosis=diagnosis, source="Drawn as such (phantom)")
            for position, (jpeg, label) in enumerate(fields, start=1):
                added = image_add(actor=None, slide=slide, data=jpeg, name=f"{position}.jpg", position=position)
                rows.append((added.image, slide.patient, label))
    return rows


def freeze(name, train, internal):
    """A dataset version with exactly these rows and the paper's split, as the freezing service would write it."""
    from cases.manifests import Line, manifest
    from cases.models import DatasetEntry, DatasetVersion
    from cases.services.taxonomies import taxonomy_ensure
    from leukoweb.core.storage import blobs

    rows = [(*row, "train") for row in train] + [(*row, "internal") for row in internal]
    rows.sort(key=lambda row: (row[1].code, row[0].slide.code, row[0].content_sha256))
    lines = [Line(p.code, image.slide.code, image.content_sha256, label, split, 0) for image, p, label, split in rows]
    content = manifest(choices={}, taxonomy={}, lines=lines, left_out=[], decisions_sha256="0" * 64)
    dataset = DatasetVersion.objects.create(
        name=name, version=1, taxonomy=taxonomy_ensure(), class_map="five", choices={}, flow=[], counts={}, proof=[],
        manifest_sha256=blobs().put(content), n_images=len(rows), n_patients=len({row[1].pk for row in rows}),
        synthetic=True,
    )  # fmt: skip
    DatasetEntry.objects.bulk_create(
        DatasetEntry(
            dataset=dataset, number=n, image=image, patient=patient, patient_code=patient.code,
            slide_code=image.slide.code, content_sha256=image.content_sha256, label=label, split=split,
        )
        for n, (image, patient, label, split) in enumerate(rows, start=1)
    )  # fmt: skip


def teach_cells(path, threads, epochs, patients, workers):
    from inference import starter_training as starter
    from inference.pipeline.training_config import TrainingSettings

    fields = starter.draw(patients, seed=71_000_000, styles=TRAINING_STYLES, n_fields=3, workers=workers)
    held = starter.draw(max(14, patients // 8), seed=72_000_000, styles=TRAINING_STYLES, n_fields=3, workers=workers)
    settings = TrainingSettings(
        epochs=epochs, batch_size=32, learning_rate=3e-3, threads=threads, precision="bf16", schedule="one-cycle",
        colour_jitter=0.3,
    )  # fmt: skip
    starter.learn_cells(fields, held, settings, lambda e: print(f"  cells, epoch {e.number}: {e.macro_f1:.3f}"), path)


def manage(*words):
    print("$ manage.py", *words, flush=True)
    subprocess.run([sys.executable, str(ROOT / "manage.py"), *words], check=True, cwd=ROOT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="DATA_DIR of the study; must not exist yet")
    parser.add_argument("--scale", type=float, default=0.2, help="share of the paper's images per class")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--cell-epochs", type=int, default=6)
    parser.add_argument("--cell-patients", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size-px", type=int, default=256)
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    os.environ["DATA_DIR"], os.environ["DJANGO_SETTINGS_MODULE"] = str(options.out), "leukoweb.settings"
    manage("migrate", "--verbosity", "0")
    import django

    django.setup()
    from cases.services import cohort_create

    started = time.monotonic()
    development = cohort_create(actor=None, name="development", purpose="development", synthetic=True, description="")
    external = cohort_create(actor=None, name="external", purpose="external", synthetic=True, description="")
    sets = {}
    for kind, cohort, patients, images, seed, styles in (
        ("T", development, TRAINING_PATIENTS, TRAINING_IMAGES, 81_000_000, TRAINING_STYLES),
        ("I", development, INTERNAL_PATIENTS, INTERNAL_IMAGES, 82_000_000, TRAINING_STYLES),
        ("E", external, EXTERNAL_PATIENTS, EXTERNAL_IMAGES, 83_000_000, HELD_OUT_STYLES),
    ):
        sets[kind] = take_in(cohort, plan(patients, images, options.scale, seed, styles, kind), options.workers)
        labels = [row[2] for row in sets[kind]]
        counts = dict(zip(*np.unique(labels, return_counts=True), strict=True))
        print(f"{kind}: {len(labels)} images, {({k: int(v) for k, v in counts.items()})}", flush=True)
    freeze("phantoms", sets["T"], sets["I"])
    print(f"drawn in {time.monotonic() - started:.0f} s", flush=True)
    (options.out / "weights").mkdir()
    teach_cells(
        options.out / "weights" / "cells.safetensors", options.threads, options.cell_epochs, options.cell_patients,
        options.workers,
    )  # fmt: skip
    print(f"cells learned after {time.monotonic() - started:.0f} s", flush=True)
    common = ["--dataset", "phantoms:1", "--preset", "starter", "--set", "initial_weights=file:cells.safetensors",
              "--set", f"threads={options.threads}", "--set", f"epochs={options.epochs}", "--set",
              f"size_px={options.size_px}", "--wait"]  # fmt: skip
    for name, extra in (("learned", []), ("shuffled", ["--set", "shuffled_labels=true"])):
        manage("train", "--name", name, *common, *extra)
        print(f"{name} after {time.monotonic() - started:.0f} s", flush=True)
        report = str(options.out / f"{name}.json")
        manage("evaluate", "--pipeline", f"{name}:1", "--cohort", "external", "--json", report)
        manage("evaluate", "--pipeline", f"{name}:1", "--dataset", "phantoms:1")


if __name__ == "__main__":
    main()
