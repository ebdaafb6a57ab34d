"""Quality, exclusions and duplicates: services, pages, the job."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from cases import services
from cases.likeness import groups, likeness, signature
from cases.models import Cohort, DuplicateSettlement, Exclusion, HpfImage, ImageQuality, Slide, SortingTask
from cases.phantoms import draw_patient
from cases.quality import measure
from cases.selectors.curation import contents_unmeasured, excluded_images, images_measured, n_unmeasured
from cases.selectors.dataset_plan import dataset_plan
from cases.selectors.duplicates import duplicates_find, live_seen
from cases.services.curation import contents_measure, duplicate_settle, images_exclude, measure_request
from leukoweb.core.exceptions import DomainError
from leukoweb.core.models import AuditEvent
from tests.cases.datasets.rows import choices_of, cohort_make, quality_make

Small = tuple[Cohort, SortingTask]


def smear(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Dots on a bright ground, enough for hashes and measures; not a phantom."""
    rng = np.random.default_rng(seed)
    field = Image.new("RGB", size, (235, 230, 232))
    for _ in range(70):
        x, y, r = rng.integers(0, size[0]), rng.integers(0, size[1]), int(rng.integers(7, 12))
        disc = Image.new("L", (2 * r, 2 * r), 0)
        disc.paste(255, (2, 2, 2 * r - 2, 2 * r - 2))
        colour = (205, 150, 150) if rng.random() < 0.92 else (95, 50, 140)
        field.paste(colour, (int(x) - r, int(y) - r), disc)
    return field


def encoded(image: Image.Image, quality: int = 90, format: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, quality=quality)
    return buffer.getvalue()


# -- the measures ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("radius", [1, 2, 4])
def test_a_blurred_copy_is_less_sharp(radius: int) -> None:
    field = smear(1)
    assert measure(field.filter(ImageFilter.GaussianBlur(radius))).sharpness < measure(field).sharpness - 0.05


def noisy(image: Image.Image, sigma: float) -> Image.Image:
    values = np.asarray(image, dtype=np.float32) + np.random.default_rng(5).normal(0, sigma, (*image.size[::-1], 3))
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


@pytest.mark.parametrize("sigma", [3, 8])
def test_noise_does_not_pass_for_sharpness(sigma: float) -> None:
    """A camera's noise is the only thing in a blurred field that a further blur takes away."""
    field = smear(1)
    blurred = noisy(field.filter(ImageFilter.GaussianBlur(5)), sigma)
    assert measure(blurred).sharpness < measure(noisy(field, sigma)).sharpness - 0.1


def test_a_tinted_lamp_is_no_stain() -> None:
    field = smear(1)
    values = np.asarray(field, dtype=np.float32) * np.array([1.0, 0.8, 0.85], dtype=np.float32)
    tinted = Image.fromarray(values.round().astype(np.uint8))
    assert measure(tinted).stain == pytest.approx(measure(field).stain, abs=0.02)


def test_measures_say_what_they_are_called_for() -> None:
    field = smear(1)
    found = measure(field)
    assert measure(ImageEnhance.Brightness(field).enhance(0.5)).exposure < found.exposure / 1.8
    assert measure(ImageEnhance.Brightness(field).enhance(1.5)).clipped > 0.5 > found.clipped
    assert measure(ImageEnhance.Color(field).enhance(0.2)).stain < found.stain / 2
    shade = np.asarray(field, dtype=float) * np.linspace(0.5, 1, field.width)[None, :, None]
    assert measure(Image.fromarray(shade.astype(np.uint8))).illumination > 0.2 > found.illumination
    assert found.nucleated > 0
    only_red = np.asarray(field).copy()
    only_red[(only_red == (95, 50, 140)).all(axis=2)] = (205, 150, 150)
    assert measure(Image.fromarray(only_red)).nucleated == 0


def test_a_blank_image_can_be_measured() -> None:
    blank = measure(Image.new("RGB", (64, 64), (255, 255, 255)))
    assert (blank.sharpness, blank.stain, blank.nucleated, blank.clipped) == (0, 0, 0, 1)
    assert likeness(blank.signature, signature(smear(1))) == 0


def test_groups_join_pairs() -> None:
    assert groups(5, [(0, 1), (3, 4), (1, 4)]).tolist() == [0, 0, 2, 0, 0]


# -- duplicates -----------------------------------------------------------------------------------------------------
@pytest.fixture
def two_patients(technician: Any) -> tuple[Slide, Slide]:
    cohort = services.cohort_create(actor=technician, name="Training", purpose="development")
    slides = [
        services.slide_create(
            actor=technician,
            patient=services.patient_create(actor=technician, cohort=cohort, code=code),
            code=f"{code}-S1",
        )
        for code in ("A", "B")
    ]
    return slides[0], slides[1]


def store(slide: Slide, data: bytes) -> HpfImage:
    return services.image_add(actor=None, slide=slide, data=data, name="field.jpg").image


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "exact": encoded,
    "jpeg 60": lambda image: encoded(image, 60),
    "jpeg 75": lambda image: encoded(image, 75),
    "resized": lambda image: encoded(image.resize((304, 228), Image.Resampling.BICUBIC)),
    "brighter": lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.06)),
    "darker": lambda image: encoded(ImageEnhance.Brightness(image).enhance(0.85)),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_planted_copy_across_patients_is_found_and_nothing_else(two_patients: tuple[Slide, Slide], kind: str) -> None:
    first = store(two_patients[0], encoded(smear(1)))
    copy = store(two_patients[1], COPIES[kind](smear(1)))
    for seed in range(2, 8):
        store(two_patients[seed % 2], encoded(smear(seed)))
    contents_measure(contents_unmeasured())
    search = duplicates_find(live_seen())
    assert [(pair.first, pair.second) for pair in search.alarms] == [(first.pk, copy.pk)]
    assert len(search.pairs) == 1
    assert search.pairs[0].exact == (kind == "exact")


def test_a_copy_within_a_patient_is_a_warning(two_patients: tuple[Slide, Slide]) -> None:
    store(two_patients[0], encoded(smear(1)))
    store(two_patients[0], encoded(smear(1), 60))
    contents_measure(contents_unmeasured())
    search = duplicates_find(live_seen())
    assert (len(search.pairs), search.alarms) == (1, [])


def test_what_was_not_measured_is_told(two_patients: tuple[Slide, Slide]) -> None:
    store(two_patients[0], encoded(smear(1)))
    store(two_patients[1], encoded(smear(1), 60))
    search = duplicates_find(live_seen())
    assert search.pairs == []
    assert len(search.unmeasured) == 2


def plant(small: Small, *, exact: bool) -> tuple[HpfImage, HpfImage]:
    """Make an image of P-2 look like one of P-3."""
    one, other = (
        HpfImage.objects.get(slide__code="P-2-S1", position=1),
        HpfImage.objects.get(slide__code="P-3-S1", position=1),
    )
    if exact:
        HpfImage.objects.filter(pk=other.pk).update(content_sha256=one.content_sha256, phash=one.phash)
    else:
        HpfImage.objects.filter(pk=other.pk).update(phash=f"{int(one.phash, 16) ^ 5:016x}")
        for image in (one, other):
            quality_make(image.content_sha256, seed=1)
    return HpfImage.objects.get(pk=one.pk), HpfImage.objects.get(pk=other.pk)


@pytest.mark.parametrize("exact", [True, False])
def test_a_dataset_refuses_an_unsettled_pair_across_patients(small: Small, exact: bool) -> None:
    one, other = plant(small, exact=exact)
    choices = choices_of([small[0]], [small[1]], min_images=1)
    assert dataset_plan(choices).problems[0].code == "E_DUPLICATES"
    duplicate_settle(actor=None, first=other, second=one, outcome="keep_second", note="Field of P-2, says the logbook")
    row = DuplicateSettlement.objects.get()
    assert (row.first_id, row.second_id, row.outcome) == (one.pk, other.pk, "keep_first")  # smaller id first
    plan = dataset_plan(choices)
    assert plan.problems == ()
    assert {step.step: step.n_images for step in plan.flow}["excluded_duplicate"] == 1
    images_exclude(actor=None, images=[other], reason="duplicate", excluded=False)  # taken in again
    assert dataset_plan(choices).problems[0].code == "E_DUPLICATES"


def test_two_fields_that_only_look_alike_can_both_stay(small: Small) -> None:
    one, other = plant(small, exact=False)
    duplicate_settle(actor=None, first=one, second=other, outcome="keep_both", note="Other cells at the edge")
    assert dataset_plan(choices_of([small[0]], [small[1]])).problems == ()


def test_an_unmeasured_candidate_stops_a_freeze(small: Small) -> None:
    _, other = plant(small, exact=False)
    ImageQuality.objects.filter(content_sha256=other.content_sha256).delete()
    assert [p.code for p in dataset_plan(choices_of([small[0]], [small[1]])).problems] == ["E_UNMEASURED"]


@pytest.mark.parametrize("lacking", ["ours", "theirs"])
def test_an_unmeasured_likeness_to_an_external_image_stops_a_freeze(small: Small, lacking: str) -> None:
    """Whichever of the two was not measured: until both are, nobody knows whether it is the same field."""
    cohort_make("External", {"X": {"AML": 3}}, purpose="external")
    ours = HpfImage.objects.get(slide__code="P-2-S1", position=1)
    theirs = HpfImage.objects.get(slide__code="X-S1", position=1)
    HpfImage.objects.filter(pk=theirs.pk).update(phash=f"{int(ours.phash, 16) ^ 5:016x}")
    quality_make((theirs if lacking == "ours" else ours).content_sha256, seed=1)
    choices = choices_of([small[0]], [small[1]], min_images=1)
    assert [p.code for p in dataset_plan(choices).problems] == ["E_UNMEASURED"]
    images_exclude(actor=None, images=[ours], reason="blur", excluded=True)
    assert dataset_plan(choices).problems == (), "what is not frozen may look like what it wants"


def test_an_image_that_an_external_patient_has_too_stops_a_freeze(small: Small) -> None:
    cohort_make("External", {"X": {"AML": 3}}, purpose="external")
    ours, theirs = (
        HpfImage.objects.get(slide__code="P-2-S1", position=1),
        HpfImage.objects.get(slide__code="X-S1", position=1),
    )
    HpfImage.objects.filter(pk=theirs.pk).update(content_sha256=ours.content_sha256)
    choices = choices_of([small[0]], [small[1]], min_images=1)
    assert [problem.code for problem in dataset_plan(choices).problems] == ["E_DUPLICATES", "E_LEAK"]
    theirs.refresh_from_db()
    with pytest.raises(DomainError, match="the other one has to go") as refused:
        duplicate_settle(actor=None, first=theirs, second=ours, outcome="keep_second", note="Of P-2, says the logbook")
    assert refused.value.field == "outcome"
    # So it was settled by an earlier version of the program: taking the external image out changes nothing.
    DuplicateSettlement.objects.create(first=ours, second=theirs, outcome="keep_first")
    images_exclude(actor=None, images=[theirs], reason="duplicate")
    problem = dataset_plan(choices).problems[0]
    assert problem.message.startswith("Field 1 of P-2-S1 is in an external cohort too: no version can have it")
    duplicate_settle(actor=None, first=ours, second=theirs, outcome="keep_second", note="Settled anew")
    assert dataset_plan(choices).problems == ()


@pytest.mark.parametrize(
    ("outcome", "note", "field"),
    [("keep_both", "x", "outcome"), ("keep_first", "", "note"), ("keep_some", "x", "outcome")],
)
def test_settlements_that_make_no_sense(small: Small, outcome: str, note: str, field: str) -> None:
    one, other = plant(small, exact=True)
    with pytest.raises(DomainError) as refused:
        duplicate_settle(actor=None, first=one, second=other, outcome=outcome, note=note)
    assert refused.value.field == field
    assert not DuplicateSettlement.objects.exists()


def test_a_pair_that_is_settled_anew_brings_the_kept_image_back(small: Small) -> None:
    one, other = plant(small, exact=False)

    def settle(outcome: str, first: HpfImage = one, second: HpfImage = other) -> set[int]:
        duplicate_settle(actor=None, first=first, second=second, outcome=outcome, note="Looked again")
        return set(excluded_images())

    assert settle("keep_first") == {other.pk}
    assert settle("keep_second") == {one.pk}
    assert settle("drop_both") == {one.pk, other.pk}
    assert settle("keep_both") == set()
    third = HpfImage.objects.get(slide__code="P-4-S1", position=1)
    settle("keep_second", one, third)
    assert settle("keep_first") == {one.pk, other.pk}, "another pair still drops it"
    images_exclude(actor=None, images=[other], reason="blur")
    assert settle("keep_both") == {one.pk, other.pk}, "out for another reason by now"
    assert settle("keep_both", one, third) == {other.pk}
    images_exclude(actor=None, images=[other], reason="blur", excluded=False)
    images_exclude(actor=None, images=[one], reason="other", note="A pen mark")
    assert settle("keep_second") == {one.pk}
    assert settle("drop_both") == {one.pk, other.pk}
    assert settle("keep_both") == {one.pk}, "it was out before it was a duplicate"
    assert (excluded_images()[one.pk].reason, excluded_images()[one.pk].note) == ("other", "A pen mark")
    images_exclude(actor=None, images=[one], reason="other", excluded=False)
    assert settle("keep_second") == {one.pk}
    assert settle("keep_both") == set(), "it was in when it became one"


# -- exclusions -----------------------------------------------------------------------------------------------------
def test_images_go_out_and_come_in_again_in_bulk(small: Small, admin_user: Any) -> None:
    images = list(HpfImage.objects.filter(slide__patient__code__in=["P-1", "P-4"]))
    assert images_exclude(actor=admin_user, images=images, reason="blur") == 13
    assert images_exclude(actor=admin_user, images=images, reason="blur") == 0  # nothing changes twice
    assert len(excluded_images()) == 13
    assert images_exclude(actor=admin_user, images=images[:5], reason="stain") == 5  # another reason is news
    assert images_exclude(actor=admin_user, images=images[:3], reason="stain", excluded=False) == 3
    assert len(excluded_images([small[0]])) == 10
    assert Exclusion.objects.count() == 21  # nothing is overwritten
    assert AuditEvent.objects.filter(action="images.exclude").count() == 2


@pytest.mark.parametrize(("reason", "note"), [("ugly", ""), ("other", ""), ("blur", "x" * 301)])
def test_reasons_are_checked(small: Small, reason: str, note: str) -> None:
    with pytest.raises(DomainError):
        images_exclude(actor=None, images=list(HpfImage.objects.all()[:2]), reason=reason, note=note)
    with pytest.raises(DomainError):
        images_exclude(actor=None, images=[], reason="blur")


# -- the job and the pages ------------------------------------------------------------------------------------------
def test_the_job_measures_each_content_once_and_skips_what_is_lost(
    two_patients: tuple[Slide, Slide], admin_user: Any, run_jobs: Callable[[], int]
) -> None:
    from leukoweb.core.storage import blobs

    for seed in range(4):
        store(two_patients[0], encoded(smear(seed)))
    store(two_patients[1], encoded(smear(0)))
    lost = HpfImage.objects.get(position=3)
    blobs().purge(lost.content_sha256)
    damaged = HpfImage.objects.get(position=2)
    path = blobs().path(damaged.content_sha256)
    whole = encoded(smear(9), format="PNG")
    at = whole.index(b"IDAT")
    path.chmod(0o640)
    path.write_bytes(whole[: at - 4] + b"\x00\x00\x00\x04" + whole[at:])  # Pillow raises SyntaxError, no OSError
    job = measure_request(actor=admin_user)
    assert job is not None
    assert measure_request(actor=admin_user) == job  # queued once
    assert run_jobs() == 1
    job.refresh_from_db()
    assert job.status == "done"
    assert "2 images measured; 2 stored files could not be read" in job.note
    assert ImageQuality.objects.count() == 2
    assert images_measured().filter(sharpness=None).count() == 2
    again = measure_request(actor=admin_user)  # the two lost ones; an attempt that was killed had done eight of ten
    assert again is not None
    type(again).objects.filter(pk=again.pk).update(total_units=10, done_units=8)
    assert run_jobs() == 1
    again.refresh_from_db()
    assert (again.status, again.done_units, again.total_units) == ("done", 10, 10), "on the scale of all"


def test_measures_go_with_the_pixels_of_a_withdrawn_patient(two_patients: tuple[Slide, Slide], admin_user: Any) -> None:
    store(two_patients[0], encoded(smear(1)))
    contents_measure(contents_unmeasured())
    services.patient_withdraw(actor=admin_user, patient=two_patients[0].patient, reason="Consent withdrawn")
    assert not ImageQuality.objects.exists()


def test_how_many_are_not_measured_is_true_after_every_change(
    two_patients: tuple[Slide, Slide], admin_user: Any
) -> None:
    assert n_unmeasured() == 0
    first = store(two_patients[0], encoded(smear(1)))
    store(two_patients[1], encoded(smear(2)))
    assert n_unmeasured() == n_unmeasured() == 2
    quality_make(first.content_sha256)
    assert n_unmeasured() == 1
    services.patient_withdraw(actor=admin_user, patient=two_patients[1].patient, reason="Consent withdrawn")
    assert n_unmeasured() == 0


def test_copies_of_phantoms_across_patients_are_found_and_no_two_drawings_are_taken_for_one(
    two_patients: tuple[Slide, Slide],
) -> None:
    """Drawn smears resemble each other as real ones do: red cells everywhere. Only the planted copies may be found."""
    drawn = [
        field.image
        for seed, diagnosis, style in ((41, "AML", "dp73"), (42, "CLL", "dp74"), (43, "NO_LEUKEMIA", "dp73"))
        for field in draw_patient(diagnosis, seed=seed, style=style, n_fields=4, width_px=480)
    ]
    stored = [store(two_patients[at % 2], encoded(field)) for at, field in enumerate(drawn)]
    planted = set()
    for at, kind in enumerate(sorted(COPIES)):
        copy = store(two_patients[1 - at % 2], COPIES[kind](drawn[at]))
        planted.add((stored[at].pk, copy.pk))
    contents_measure(contents_unmeasured())
    search = duplicates_find(live_seen())
    assert {(pair.first, pair.second) for pair in search.alarms} == planted
    assert len(search.pairs) == len(planted)
