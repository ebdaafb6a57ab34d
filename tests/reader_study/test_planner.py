"""The planner and the confounder report against figures worked out by other routes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cases.models import CaptureDevice, HpfImage, Slide
from leukoweb.statistics.planning import cases_for_kappa, proportion_half_width
from reader_study.planner import plan
from reader_study.selectors.cases import case_list
from reader_study.selectors.confounders import area, confounders, cramers_v, median
from tests.reader_study.protocols import complete, reader
from tests.reader_study.studies import cohort, draft


def document(**planning):
    base = complete(readers=[reader("P1", "p1", ("blinded", "blinded")), reader("P2", "p2"), reader("P3", "")])
    base["planning"] |= planning
    return base


def test_precision_is_that_of_the_statistics_library():
    found = plan(document(expected_per_class=[7, 22, 3, 4, 28]), n_patients=64, n_images=2176)
    name, sensitivity, specificity = found.per_class[1]
    assert (name, sensitivity.n, specificity.n, found.equal) == ("AML", 22, 42, False)
    assert sensitivity.half_width == proportion_half_width(0.9, 22, method="auto")
    needed = cases_for_kappa(0.8, [7 / 64, 22 / 64, 3 / 64, 4 / 64, 28 / 64], found.kappa.half_width * 1.0001)
    assert needed.n == 64


def test_hours_count_every_session_of_those_who_read_here():
    found = plan(document(seconds_per_image=5, seconds_per_case=30), n_patients=64, n_images=2176)
    once = (2176 * 5 + 64 * 30) / 3600
    assert [(b.label, b.sessions) for b in found.burdens] == [("P1", 2), ("P2", 1)]
    assert found.hours == pytest.approx(3 * once)


def test_a_fixed_number_of_fields_shortens_the_reading():
    fixed = document() | {"images_per_case": {"rule": "fixed", "k": 10, "seed": 1}}
    assert plan(fixed, n_patients=64, n_images=2176).n_images == 640


def test_no_patient_or_impossible_assumptions_are_a_dash_and_no_error():
    assert not plan(document(), n_patients=0, n_images=0).kappa.known
    assert not plan(document(kappa=-0.9), n_patients=20, n_images=20).kappa.known


@pytest.mark.parametrize("table", [[[5, 1, 3], [2, 8, 4]], [[9, 1], [1, 9], [5, 5]], [[1, 0, 0], [0, 2, 0], [0, 0, 3]]])
def test_cramers_v_is_scipys(table):
    expected = stats.contingency.association(np.array(table), method="cramer")
    assert cramers_v(table) == pytest.approx(expected)


@pytest.mark.parametrize("table", [[], [[1, 2]], [[1], [2]], [[0, 0], [1, 2]]])
def test_cramers_v_of_a_single_row_or_column_is_undefined(table):
    assert math.isnan(cramers_v(table))


def test_area_is_the_mann_whitney_probability():
    one, other = [3.0, 5.0, 5.0, 9.0], [1.0, 5.0, 2.0]
    expected = stats.mannwhitneyu(one, other).statistic / (len(one) * len(other))
    assert area(one, other) == pytest.approx(expected)
    assert math.isnan(area([], other))
    assert (median([3, 1, 2]), median([4, 1])) == (2, 2.5)


@pytest.mark.django_db
def test_a_camera_of_its_own_for_one_class_is_found(django_assert_num_queries):
    """Ten patients; the two without leukemia were taken with another camera, on more and larger fields."""
    cohort(10, images=3)
    normals = Slide.objects.filter(patient__references__diagnosis="NO_LEUKEMIA")
    normals.update(device=CaptureDevice.objects.create(camera="DP25"))
    HpfImage.objects.filter(slide__in=normals).update(size_bytes=90_000)
    HpfImage.objects.filter(slide__patient__code="Ext-000", position=1).delete()
    cases = case_list(draft())
    with django_assert_num_queries(2):
        report = confounders(draft(), cases)
    assert report.cameras == (("DP25", (0, 0, 0, 0, 2)), ("DP73", (2, 2, 2, 2, 0)))
    assert report.cramers_v == pytest.approx(1.0)
    assert report.camera_warns
    size = report.numeric[1]
    assert (size.auc, size.worst, size.warns) == (1.0, "NO_LEUKEMIA", True)
    assert report.numeric[0].medians == (2.5, 3, 3, 3, 3)


@pytest.mark.django_db
def test_a_report_without_references_says_nothing(client):
    cohort(3, references=False)
    report = confounders(draft(), case_list(draft()))
    assert (report.n_missing, report.cameras, report.warns) == (3, (), False)
