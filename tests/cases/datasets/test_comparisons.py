"""Table 1, diff, drift and their pages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from cases.dataset_diff import changed_choices, diff, rules_in_words, transitions
from cases.drift import Mix, difference, ks_distance
from cases.figures import drift_svg, flow_svg
from cases.manifests import Line
from cases.models import CaptureDevice, Cohort, DatasetVersion, HpfImage, Patient, Slide, SortingTask
from cases.selectors.comparisons import table_one_of
from cases.selectors.duplicates import duplicates_find, live_seen
from cases.services.datasets import dataset_freeze
from cases.services.patients import patient_recode
from leukoweb.core.exceptions import DomainError
from tests.cases.datasets.rows import choices_of, cohort_make, labelled, quality_make

Small = tuple[Cohort, SortingTask]
CLASSES = ("ALL", "AML", "CLL", "CML", "NO_LEUKEMIA")

# Table 1 of JMAI-24-74: (images, patients) by class in the order of CLASSES.
PAPER = {
    "Training": ((471, 1149, 440, 404, 938), (9, 27, 7, 8, 27)),
    "Internal validation": ((20, 174, 191, 151, 344), (2, 7, 2, 2, 7)),
    "External validation": ((346, 1252, 225, 226, 924), (7, 22, 3, 4, 28)),
}


def patients_of(prefix: str, images: tuple[int, ...], patients: tuple[int, ...]) -> dict[str, dict[str, int]]:
    """Patients whose own images sum to ``images`` by class; a few have images without leukemic cells as well."""
    made: dict[str, dict[str, int]] = {}
    for name, n_images, n_patients in zip(CLASSES, images, patients, strict=True):
        sizes = [n_images // n_patients + (at < n_images % n_patients) for at in range(n_patients)]
        made |= {f"{prefix}-{name}-{at}": {name: size} for at, size in enumerate(sizes)}
    # Fields without leukemic cells of a leukemia patient stay images of no leukemia, but the patient counts as AML.
    made[f"{prefix}-AML-0"]["NO_LEUKEMIA"] = 2
    made[f"{prefix}-NO_LEUKEMIA-0"]["NO_LEUKEMIA"] -= 2
    # Two labels of the paper's seven that its five classes merge.
    made[f"{prefix}-AML-1"] = {"APML": made[f"{prefix}-AML-1"]["AML"]}
    made[f"{prefix}-NO_LEUKEMIA-1"] = {"REACTIVE": made[f"{prefix}-NO_LEUKEMIA-1"]["NO_LEUKEMIA"]}
    return made


def test_table_1_of_the_paper_all_30_cells_and_totals(db: None, monkeypatch: Any) -> None:
    """A database with the paper's counts; the split is dictated, because the paper does not tell its seed."""
    training = patients_of("T", *PAPER["Training"])
    internal = patients_of("I", *PAPER["Internal validation"])
    development, labels = cohort_make("Development", training | internal)
    task = labelled(development, labels)
    external, labels = cohort_make("External", patients_of("X", *PAPER["External validation"]), purpose="external")
    labelled(external, labels)
    for content in duplicates_find(live_seen()).unmeasured:  # a few of 26 million pairs of hashes are near by chance
        quality_make(content)
    monkeypatch.setattr(
        "cases.selectors.dataset_plan.split_patients",
        lambda patients, **_: {p.code: "internal" if p.code.startswith("I-") else "train" for p in patients},
    )
    version = dataset_freeze(actor=None, name="Paper", choices=choices_of([development], [task]))
    table = table_one_of(version, external)
    assert table.classes == CLASSES
    found = {(row.set_title, row.counted): row for row in table.rows}
    for title, (images, patients) in PAPER.items():
        assert found[title, "Images"].cells == images
        assert found[title, "Patients"].cells == patients
    assert len(found) * len(CLASSES) == 30
    totals = {key: row.total for key, row in found.items()}
    assert [totals[title, "Images"] for title in PAPER] == [3402, 880, 2973]
    assert [totals[title, "Patients"] for title in PAPER] == [78, 20, 64]
    assert [row.total for row in table.totals] == [7255, 162]
    assert version.n_images == 4282


def test_table_1_needs_labels_of_the_external_set(small: Small) -> None:
    version = dataset_freeze(actor=None, name="Set", choices=choices_of([small[0]], [small[1]]))
    external, _ = cohort_make("External", {"X": {"AML": 3}}, purpose="external")
    with pytest.raises(DomainError, match="no sorting task"):
        table_one_of(version, external)
    assert len(table_one_of(version, None).rows) == 4


# -- diff -----------------------------------------------------------------------------------------------------------
def test_the_diff_says_what_happened_to_each_image() -> None:
    def line(patient: str, image: str, label: str = "AML", split: str = "train", slide: str = "S") -> Line:
        return Line(patient, slide, image, label, split, 0)

    first = [line("A", "1"), line("A", "2"), line("B", "3"), line("C", "4"), line("D", "5")]
    second = [line("A", "1", slide="renamed"), line("A", "2", "ALL"), line("B", "3", split="internal"), line("D", "5"),
              line("E", "6")]  # fmt: skip
    changes = diff(first, second)
    assert [(c.kind, c.line.content_sha256) for c in changes] == [
        ("added", "6"), ("removed", "4"), ("relabelled", "2"), ("moved", "3"),
    ]  # fmt: skip
    assert transitions(changes) == [("AML", "ALL", 1)]
    assert changed_choices({"seed": 1, "folds": 0}, {"seed": 2, "folds": 0}) == [("Seed", "1", "2")]
    rules = [{"rule": "majority", "version": 1}, {"rule": "senior", "version": 1}]
    one, other = {"rules": rules[:1], "tasks": ["A"]}, {"rules": rules, "tasks": ["A", "B"]}
    assert changed_choices(one, other) == [
        ("Consensus", "majority, version 1", "majority, version 1; senior, version 1"), ("Sorting tasks", "A", "A, B")
    ]  # fmt: skip
    assert rules_in_words({"rules": rules[:1] * 2, "tasks": ["A", "B"]}) == "majority"
    assert rules_in_words(other) == "A: majority, B: senior"


# -- drift ----------------------------------------------------------------------------------------------------------
def test_effect_sizes() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(0, 1, 4000), rng.normal(0.5, 1, 4000)
    found = difference("red", a, b)
    assert found.d == pytest.approx(0.5, abs=0.06)
    assert found.size == "medium"
    assert difference("red", a, a).d == 0
    scipy_stats = pytest.importorskip("scipy.stats")
    assert found.ks == pytest.approx(scipy_stats.ks_2samp(a, b).statistic)
    assert ks_distance(np.array([1.0]), np.array([2.0])) == 1
    constant = difference("width_px", np.full(3, 640.0), np.full(4, 1600.0))
    assert (constant.d, constant.ks, constant.size) == (None, 1.0, "different constants")
    assert difference("width_px", np.full(3, 640.0), np.full(4, 640.0)).size == "equal"
    with pytest.raises(ValueError):
        difference("red", a, a[:0])


def test_the_distance_of_two_mixes() -> None:
    assert Mix(("A", "B"), (1, 3), (3, 1)).distance == 0.5
    assert Mix(("A", "B"), (1, 3), (2, 6)).distance == 0
    assert Mix(("A", "B"), (0, 0), (2, 6)).distance is None


def test_figures_are_the_same_every_time() -> None:
    steps = [
        {"step": "received", "title": "Received", "n_images": 10, "n_slides": 2, "n_patients": 2},
        {"step": "excluded_blur", "title": "Out of focus", "n_images": 3, "n_slides": 1, "n_patients": 1},
        {"step": "kept", "title": "Kept", "n_images": 7, "n_slides": 2, "n_patients": 2},
    ]
    assert flow_svg(steps) == flow_svg(steps)
    assert flow_svg(steps).startswith(b"<?xml")
    values = {"red": np.array([0.1, 0.2, 0.4]), "sharpness": np.array([0.3, 0.3, 0.35])}
    mix = Mix(("AML", "NO_LEUKEMIA"), (1, 2), (2, 1))
    assert drift_svg(values, values, ("First", "Second"), mix) == drift_svg(values, values, ("First", "Second"), mix)


# -- pages ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def version(small: Small) -> DatasetVersion:
    for n, camera in enumerate(("DP73", "DP74")):
        device = CaptureDevice.objects.create(camera=camera)
        Slide.objects.filter(code__in=[f"P-{2 * k + 1 + n}-S1" for k in range(5)]).update(device=device)
    for image in HpfImage.objects.all():
        quality_make(image.content_sha256, sharpness=0.3 + image.pk % 7 / 100)
    return dataset_freeze(actor=None, name="Set", choices=choices_of([small[0]], [small[1]], seed=5))


def form_of(small: Small, **more: Any) -> dict[str, Any]:
    return {
        "name": "Set", "cohorts": [small[0].pk], "tasks": [small[1].pk], "rule": "", "class_map": "five",
        "min_images": 3, "percent": 20, "folds": 0, "seed": 5,
    } | more  # fmt: skip


def shown_in(answer: Any) -> str:
    return re.search(r'name="shown" value="([0-9a-f]{64})"', answer.content.decode())[1]  # type: ignore[index]


def test_a_version_is_previewed_and_frozen_on_the_page(small: Small, as_role: Any) -> None:
    admin = as_role("admin")
    assert admin.get(reverse("dataset_create")).status_code == 200
    preview = admin.post(reverse("dataset_create"), form_of(small, preview="1"))
    text = preview.content.decode()
    assert "41 images of 10 patients" in text
    assert "No patient is in both parts" in text
    assert text.count('class="class-chip" data-class=') == 5  # the heads of the table of counts
    assert not DatasetVersion.objects.exists()
    shown = shown_in(preview)
    # Enter in a field presses the first button of the form, so that one must show, not freeze.
    assert re.findall(r'<button[^>]* name="(\w+)"', text.split('class="stack">')[1])[0] == "preview"
    for unseen in ({"shown": ""}, {"shown": "0" * 64}, {"seed": 6}, {"percent": 30}, {"name": "Other"}, {"folds": 2}):
        answer = admin.post(reverse("dataset_create"), form_of(small, **{"freeze": "1", "shown": shown} | unseen))
        assert answer.status_code == 409, unseen
        assert "this is not what you were shown" in answer.content.decode()
    assert not DatasetVersion.objects.exists()
    shown = shown_in(admin.post(reverse("dataset_create"), form_of(small, seed=6, freeze="1", shown=shown)))
    answer = admin.post(reverse("dataset_create"), form_of(small, seed=6, freeze="1", shown=shown))
    version = DatasetVersion.objects.get()
    assert version.choices["seed"] == 6
    assert answer.url == reverse("dataset_detail", args=[version.public_id])
    assert version.created_by == admin.user
    for bad in ({"percent": 90}, {"cohorts": []}, {"name": "a:b", "freeze": "1"}, {"folds": 1}):
        assert admin.post(reverse("dataset_create"), form_of(small, **bad)).status_code == 400, bad
    other, _ = cohort_make("External", {"X": {"AML": 3}}, purpose="external")
    assert admin.post(reverse("dataset_create"), form_of(small, cohorts=[other.pk])).status_code == 400
    assert DatasetVersion.objects.count() == 1


def test_pages_of_a_version(version: DatasetVersion, small: Small, as_role: Any) -> None:
    coordinator = as_role("coordinator")
    second = dataset_freeze(actor=None, name="Set", choices=choices_of([small[0]], [small[1]], seed=6))
    external, labels = cohort_make("External", {"X": {"AML": 3}, "Y": {"NO_LEUKEMIA": 4}}, purpose="external")
    labelled(external, labels)
    args = [version.public_id]
    assert "Set 1" in coordinator.get(reverse("dataset_list")).content.decode()
    detail = coordinator.get(reverse("dataset_detail", args=args)).content.decode()
    assert version.manifest_sha256 in detail
    assert "is not what was frozen" not in detail
    table = coordinator.get(reverse("dataset_table_one", args=args), {"external": external.pk}).content.decode()
    assert "External validation" in table
    for odd in ("²", "9" * 5000, "x"):
        assert coordinator.get(reverse("dataset_table_one", args=args), {"external": odd}).status_code == 200
    compared = coordinator.get(reverse("dataset_diff", args=[version.public_id, second.public_id])).content.decode()
    assert "Other side or fold" in compared
    assert "Seed" in compared
    moved = coordinator.get(
        reverse("dataset_diff", args=[version.public_id, second.public_id]), {"kind": "moved"}
    ).content.decode()  # fmt: skip
    assert "Show all" in moved
    patient_recode(actor=coordinator.user, patient=Patient.objects.get(code="P-4"), code="N-4", reason="A typing error")
    third = dataset_freeze(actor=None, name="Set", choices=choices_of([small[0]], [small[1]], seed=6))
    same = coordinator.get(reverse("dataset_diff", args=[second.public_id, third.public_id])).content.decode()
    for title in ("Only in the second", "Only in the first", "Other label"):
        assert f"<dt>{title}</dt><dd>0</dd>" in same, "a patient's new code alone is no change"
    assert "<td>moved</td>" in moved
    for name in ("dataset_flow_figure", "dataset_drift_figure"):
        figure = coordinator.get(reverse(name, args=args))
        assert figure["Content-Type"] == "image/svg+xml"
    devices = [f"device-{pk}" for pk in CaptureDevice.objects.values_list("pk", flat=True)]
    drift = coordinator.get(reverse("dataset_drift", args=args), {"a": devices[0], "b": devices[1]}).content.decode()
    assert "camera DP74" in drift
    assert "Class mix" in drift
    assert "no measured image" in coordinator.get(
        reverse("dataset_drift", args=args), {"a": "train", "b": f"cohort-{external.pk}"}
    ).content.decode()  # fmt: skip
    assert "no such set" in coordinator.get(reverse("dataset_drift", args=args), {"a": "x"}).content.decode()
    manifest = coordinator.get(reverse("dataset_manifest", args=args))
    assert hashlib.sha256(manifest.content).hexdigest() == version.manifest_sha256


@pytest.mark.parametrize("name", ["dataset_list", "dataset_detail", "dataset_table_one", "dataset_drift"])
def test_pages_take_as_many_queries_for_many_images_as_for_few(
    version: DatasetVersion, as_role: Callable[[str], Any], name: str
) -> None:
    admin = as_role("admin")
    large, labels = cohort_make("Large", {f"L-{n}": {"AML": 3, "NO_LEUKEMIA": 3} for n in range(30)})
    for image in HpfImage.objects.filter(slide__patient__cohort=large):
        quality_make(image.content_sha256)
    task = labelled(large, labels)
    second = dataset_freeze(actor=None, name="Large", choices=choices_of([large], [task]))

    def queries(of: DatasetVersion) -> int:
        url = reverse(name, args=[] if name == "dataset_list" else [of.public_id])
        with CaptureQueriesContext(connection) as captured:
            assert admin.get(url).status_code == 200
        return len(captured)

    for of in (version, second):  # the first view of an hour compares the manifest with its rows
        queries(of)
    assert queries(second) == queries(version)
