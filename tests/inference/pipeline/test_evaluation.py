"""Reports on images and patients against figures worked out by hand or by another route."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from inference.pipeline.classes import DIAGNOSES_3
from inference.pipeline.drift import Confidence, shifts, suggest
from inference.pipeline.evaluation import (
    Case,
    Comparator,
    chosen_rules,
    compare_reports,
    paired_difference,
    pipeline_report,
    sweep,
)
from inference.pipeline.rules import RULE_SETS
from inference.pipeline.validation import METRICS, model_report, size_group

FIVE = ("ALL", "AML", "CLL", "CML", "NO_LEUKEMIA")


def sure(k: int, n_classes: int, p: float = 0.9) -> list[float]:
    row = [(1 - p) / (n_classes - 1)] * n_classes
    row[k] = p
    return row


def patients(n: int = 40, seed: int = 0, *, spoil: float = 0.0) -> tuple[list[Case], dict[str, Any]]:
    """Cases whose models are right but for a share of images; normals have one spurious leukemia image in five."""
    random = np.random.default_rng(seed)
    cases, tables = [], {"model_1": [], "model_2": [], "model_3": []}
    row = 0
    for i in range(n):
        diagnosis = FIVE[i % 5]
        size = int(random.integers(3, 20))
        for j in range(size):
            true = diagnosis if random.random() >= spoil else str(random.choice(FIVE))
            leukemia = true != "NO_LEUKEMIA" or (i % 5 == 4 and i % 2 == 0 and j == 0)
            tables["model_1"].append(sure(0 if leukemia else 1, 2))
            branch = {"ALL": 0, "AML": 0, "CLL": 1, "CML": 1}.get(true, 2)
            tables["model_2"].append(sure(branch, 4))
            tables["model_3"].append(sure(FIVE.index(true), 5))
        cases.append(Case(f"P{i}", diagnosis, tuple(range(row, row + size))))
        row += size
    return cases, {name: np.array(rows) for name, rows in tables.items()}


def test_image_figures_equal_those_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    targets = random.integers(0, 5, 300)
    probabilities = random.dirichlet(np.ones(5), 300)
    probabilities[np.arange(300), targets] += random.random(300)
    probabilities /= probabilities.sum(1, keepdims=True)
    people = [f"P{i // 10}" for i in range(300)]
    report = model_report(probabilities, targets, people, FIVE, images=range(300), resamples=200,
                          groups={"device": ["A" if i < 150 else "B" for i in range(300)]})  # fmt: skip
    said = probabilities.argmax(1)
    wanted = {"f1": f1_score, "ppv": precision_score, "sensitivity": recall_score}
    for name, function in wanted.items():
        each = function(targets, said, average=None)
        assert report["macro"][name]["estimate"] == pytest.approx(each.mean())
        for k, label in enumerate(FIVE):
            assert report["per_class"][label][name]["estimate"] == pytest.approx(each[k])
    assert report["accuracy"]["estimate"] == pytest.approx((said == targets).mean())
    for name in METRICS:
        figure = report["macro"][name]
        assert figure["low"] < figure["estimate"] < figure["high"]
    assert [row["n_images"] for row in report["groups"]["device"]] == [150, 150]
    assert sum(map(sum, report["confusion"])) == 300
    own = probabilities[np.arange(300), targets]
    assert [item["image"] for item in report["worst"][:3]] == np.argsort(own, kind="stable")[:3].tolist()


def test_intervals_widen_when_images_of_a_patient_fail_together() -> None:
    targets = np.arange(200) % 2
    wrong = np.repeat(np.arange(20) % 4 == 0, 10)  # every fourth patient: all ten images
    said = np.where(wrong, 1 - targets, targets)
    probabilities = np.array([sure(int(k), 2) for k in said])
    clustered = model_report(probabilities, targets, [f"P{i // 10}" for i in range(200)], ("A", "B"), resamples=300)
    alone = model_report(probabilities, targets, [f"P{i}" for i in range(200)], ("A", "B"), resamples=300)

    def width(report: Any) -> float:
        return report["macro"]["f1"]["high"] - report["macro"]["f1"]["low"]

    assert width(clustered) > 2 * width(alone)


def test_hierarchy_against_single_model_per_patient() -> None:
    cases, tables = patients()
    tables["single"] = tables["model_3"]
    report = pipeline_report(cases, tables, RULE_SETS["paper-fig2"], [Comparator("single", FIVE)], resamples=300)
    five = report["levels"]["5"]
    assert five["evaluators"]["single"]["macro"]["f1"]["estimate"] == 1.0
    # Four of the eight normals have a leukemia image: the gate of the paper lets them through, the majority does not.
    assert five["evaluators"]["hierarchy"]["per_class"]["NO_LEUKEMIA"]["sensitivity"]["estimate"] == 0.5
    difference = five["hierarchy_minus"]["single"]
    assert difference["difference"]["f1"]["estimate"] < 0
    assert difference["difference"]["f1"]["high"] < 0
    assert (difference["only_first_right"], difference["only_second_right"]) == (0, 4)
    assert difference["p"] == pytest.approx(0.0625)  # mid-p of 0 against 4
    assert report["levels"]["3"]["evaluators"]["hierarchy"]["exact_match"]["numerator"] == 36


def test_the_sweep_shows_what_a_stricter_gate_buys_and_costs() -> None:
    cases, tables = patients()
    rows = {(r["gate"]["measure"], r["gate"]["at_least"]): r for r in sweep(cases, tables, RULE_SETS["paper-fig2"])}
    assert rows["count", 1]["current"]
    assert rows["count", 1]["specificity"].estimate == 0.5
    assert rows["count", 2]["specificity"].estimate == 1.0
    counts = [rows["count", n] for n in (1, 2, 3, 4, 5, 7, 10)]
    found = [row["sensitivity"].estimate for row in counts]
    assert found == sorted(found, reverse=True)
    assert {group["name"] for group in counts[0]["by_size"]} == {"under 10", "10 to 29"}
    rules = chosen_rules(RULE_SETS["paper-fig2"], rows["count", 2]["gate"])
    assert (rules.name, rules.version, rules.gate.at_least) == ("paper-fig2-swept", 1, 2)
    assert chosen_rules(rules, rows["count", 3]["gate"]).name == "paper-fig2-swept"


def test_two_pipelines_on_the_patients_that_both_have() -> None:
    cases, good = patients()
    _, bad = patients(spoil=0.7)
    rules = RULE_SETS["paper-fig2"]
    first = pipeline_report(cases, good, rules, resamples=200)
    cases_2, bad = patients(spoil=0.7)
    second = pipeline_report(cases_2[5:], bad, rules, resamples=200)
    found = compare_reports(first, second)
    assert found["n_patients"] == 35
    both = found["levels"]["5"]
    assert both["difference"]["f1"]["estimate"] == pytest.approx(
        both["first"]["f1"]["estimate"] - both["second"]["f1"]["estimate"]
    )
    assert both["difference"]["f1"]["low"] > 0
    assert len(found["changed"]) >= both["only_first_right"]
    with pytest.raises(ValueError, match="share no patient"):
        compare_reports(first, pipeline_report(cases_2[:0] or cases_2[:5], bad, rules) | {"patients": []})


def test_pipelines_of_different_levels_are_compared_where_both_speak() -> None:
    cases, tables = patients()
    names = ("paper-fig2", "paper-fig1")
    fine, coarse = (pipeline_report(cases, tables, RULE_SETS[name], resamples=20) for name in names)
    found = compare_reports(fine, coarse)
    assert list(found["levels"]) == ["3"]
    agree = [p["hierarchy"][0] == q["hierarchy"][0] for p, q in zip(fine["patients"], coarse["patients"], strict=True)]
    assert len(found["changed"]) == agree.count(False) < len(cases)
    assert all(len(row["first"]) == 1 and row["reference"] in DIAGNOSES_3 for row in found["changed"])


def test_no_difference_where_one_has_no_such_level() -> None:
    assert paired_difference(["ALL"], [None], ["ALL"], FIVE) is None


def test_sizes_have_words() -> None:
    assert [size_group(n) for n in (3, 10, 99, 150)] == ["under 10", "10 to 29", "30 to 99", "100 or more"]


def test_drift_and_the_suggestion_that_follows() -> None:
    training = {"sharpness": [1.0, 2.0, 3.0], "stain": [0.5, 0.5, 0.5]}
    incoming = {"DP74": {"sharpness": [5.0] * 12, "stain": [0.5] * 12}, "DP73": {"sharpness": [2.1] * 12}}
    found = shifts(training, incoming)
    assert [(s.device, s.measure, s.notable) for s in found] == [
        ("DP74", "sharpness", True), ("DP73", "sharpness", False), ("DP74", "stain", False)]  # fmt: skip
    assert found[2].size is None, "a measure that did not vary has no scale"
    base = {"live": "p 1", "drawn": [], "n_training": 100, "n_new": 0, "found": [], "confidences": []}
    assert suggest(**base).level == "none"
    assert suggest(**base | {"n_new": 10}).level == "consider"
    assert suggest(**base | {"n_new": 20}).level == "retrain"
    assert suggest(**base | {"found": found}).level == "consider"
    unsure = [Confidence("DP74", 12, 0.6, 0.9)]
    strong = suggest(**base | {"found": found, "confidences": unsure})
    assert strong.level == "retrain"
    assert any("less sure on images of DP74: by 0.30" in reason for reason in strong.reasons)
    assert not Confidence("DP74", 9, 0.6, 0.9).notable, "too few images"
    assert suggest(**base | {"live": None}).title == "No pipeline is active: train one."
    (unknown,) = suggest(**base | {"n_training": 0, "n_new": 5}).reasons
    assert unknown == "5 labelled images are new; the images that it was trained on are not here."
    phantoms = suggest(**base | {"drawn": ["m 1"]})
    assert phantoms.level == "retrain"
    assert "trained on drawn phantoms, for demonstration: m 1." in phantoms.reasons[0]
