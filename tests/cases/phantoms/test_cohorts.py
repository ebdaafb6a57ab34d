from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from cases.phantoms import PLANTED_IDENTITY, cohort_plan, development_plan, draw_plan


def test_cohort_has_the_papers_external_proportions() -> None:
    plan = cohort_plan(1)
    assert Counter(p.diagnosis for p in plan) == {"ALL": 7, "AML": 22, "CLL": 3, "CML": 4, "NO_LEUKEMIA": 28}
    assert sum(p.n_fields for p in plan) == 450
    sizes = sorted(p.n_fields for p in plan)
    assert sizes[0] >= 3
    assert sizes[-1] == 150
    assert sizes[-2] < 150
    assert [p.code for p in plan] == [f"PHANTOM-{number:03d}" for number in range(1, 65)]
    assert Counter(p.variant for p in plan)["APML"] == 3
    assert {p.diagnosis for p in plan if p.variant == "APML"} == {"AML"}


def test_codes_do_not_follow_the_diagnosis() -> None:
    diagnoses = [p.diagnosis for p in cohort_plan(1)]
    assert diagnoses != sorted(diagnoses)
    assert diagnoses != [p.diagnosis for p in cohort_plan(2)]
    assert cohort_plan(1) == cohort_plan(1)


def test_development_has_table_1s_training_proportions() -> None:
    plan = development_plan(1)
    assert Counter(p.diagnosis for p in plan) == {"ALL": 9, "AML": 27, "CLL": 7, "CML": 8, "NO_LEUKEMIA": 27}
    images: Counter[str] = Counter()
    for patient in plan:
        images[patient.diagnosis] += patient.n_fields
    assert sum(images.values()) == 3402
    for diagnosis, printed in {"ALL": 471, "AML": 1149, "CLL": 440, "CML": 404, "NO_LEUKEMIA": 938}.items():
        assert images[diagnosis] == pytest.approx(printed, rel=0.05)
    assert not {p.seed for p in plan} & {p.seed for p in cohort_plan(1)}
    assert not any(p.planted for p in plan)


@pytest.mark.parametrize("patients", [5, 7, 12, 100])
def test_smaller_and_larger_cohorts_keep_every_class(patients: int) -> None:
    for plan in (
        cohort_plan(3, n_patients=patients, total_images=6 * patients, large_slide=0),
        development_plan(3, n_patients=patients, total_images=6 * patients),
    ):
        assert len(plan) == patients
        assert sum(p.n_fields for p in plan) == 6 * patients
        assert len({p.diagnosis for p in plan}) == 5
        assert min(p.n_fields for p in plan) >= 3


def test_impossible_plans_say_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"total_images is 160.*339"):
        cohort_plan(1, total_images=160)
    with pytest.raises(ValueError, match="n_patients is 4"):
        development_plan(1, n_patients=4)
    with pytest.raises(ValueError, match="dp99"):
        cohort_plan(1, styles=("dp99",))


def test_planted_defects_are_in_the_files() -> None:
    plan = cohort_plan(1, n_patients=6, total_images=30, large_slide=0)
    planted = {item.kind: patient for patient in plan for item in patient.planted}
    assert set(planted) == {"identical", "reencoded", "brightness_shifted", "blurred", "identity"}

    def files(kind: str) -> list[bytes]:
        return [file.jpeg for file in draw_plan(planted[kind], width_px=160)]

    same = files("identical")
    assert same[0] == same[-1]
    assert len({hashlib.sha256(jpeg).digest() for jpeg in same}) == len(same) - 1
    for kind in ("reencoded", "brightness_shifted"):
        near = files(kind)
        assert len(set(near)) == len(near)
    hidden = [PLANTED_IDENTITY.encode() in jpeg for jpeg in files("identity")]
    assert hidden == [False] * (len(hidden) - 1) + [True]


def test_files_have_the_width_of_their_camera() -> None:
    plan = cohort_plan(1, n_patients=5, total_images=15, large_slide=0, styles=("dp74_dim",))[0]
    first = next(draw_plan(plan))
    assert first.field.image.size == (1200, 900)
    assert first.field.pixel_size_um == pytest.approx(140 / 1200)


def test_files_are_named_by_code_and_capture_order() -> None:
    plan = cohort_plan(1, n_patients=5, total_images=15, large_slide=0)[2]
    names = [file.name for file in draw_plan(plan, width_px=96)]
    assert names == ["PHANTOM-003_0001.jpg", "PHANTOM-003_0002.jpg", "PHANTOM-003_0003.jpg"]
