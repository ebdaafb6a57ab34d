"""Comparisons of endpoints against counting by hand: undecided answers by the rule, and the arms over all readers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from leukoweb.statistics.covariance import jackknife_covariance
from leukoweb.statistics.mrmc import analyse_proportion, obuchowski_rockette
from leukoweb.statistics.paired import holm, mcnemar
from reader_study.analysis.levels import linearised
from reader_study.analysis.run import analyse
from reader_study.analysis.tables import result_tables
from reader_study.report.methods import methods_text
from tests.reader_study.analysis.documents import FIVE, add_aided, changed, small

Document = dict[str, Any]
UNDECIDED = "undecided"


def crossed(
    n: int = 20, missing: str = "wrong", primary: tuple[str, str] = ("macro_f1", "with_vs_without_ai")
) -> Document:
    """Both readers with and without the AI result; they and the comparator have undecided answers."""
    document = small(n, resamples=20)
    add_aided(document, "P2", 2)
    document["evaluators"][1]["answers"][0] |= {"answers": {}, "cannot_decide": True}
    document["plan"]["missing"] = missing
    for endpoint in document["plan"]["endpoints"]:
        endpoint["role"] = "secondary"
    document["plan"]["endpoints"].append(
        {"metric": primary[0], "role": "primary", "comparison": primary[1], "since_version": 1}
    )
    return document


@pytest.fixture(scope="module")
def wrong() -> tuple[Document, Document]:
    document = crossed()
    return document, analyse(document)


def said(document: Document, name: str) -> list[str]:
    """Class by case in the order of the cases; an undecided answer is a word that no case has as reference."""
    rows = {a["case"]: a for a in next(e for e in document["evaluators"] if e["name"] == name)["answers"]}
    return [rows[c["code"]]["answers"].get("five", UNDECIDED) for c in document["cases"]]


def rows_of(result: Document, metric: str, comparison: str) -> list[Document]:
    return [r for r in result["endpoints"] if (r["metric"], r["comparison"]) == (metric, comparison)]


def pairs_of(comparison: str) -> Iterator[tuple[str, str]]:
    yield from {
        "ai_vs_each_reader": [("AI", "P1-1"), ("AI", "P2")], "ai_vs_comparators": [("AI", "Single")],
        "with_vs_without_ai": [("P1-3", "P1-1"), ("P2-2", "P2")],
    }[comparison]  # fmt: skip


@pytest.mark.parametrize("comparison", ["ai_vs_each_reader", "ai_vs_comparators", "with_vs_without_ai"])
def test_undecided_answers_are_wrong_in_every_comparison(wrong: tuple[Document, Document], comparison: str) -> None:
    document, result = wrong
    truth = [case["reference"] for case in document["cases"]]
    rows = {row["what"]: row for row in rows_of(result, "accuracy", comparison)}
    tests = []
    for first, second in pairs_of(comparison):
        one, two = ([a == t for a, t in zip(said(document, name), truth, strict=True)] for name in (first, second))
        row = rows[f"{first} minus {second}"]
        assert UNDECIDED in said(document, second)
        assert row["estimate"]["n"] == len(truth)
        assert row["estimate"]["estimate"] == pytest.approx((sum(one) - sum(two)) / len(truth))
        b, c = (sum(x and not y for x, y in zip(*pair, strict=True)) for pair in ((one, two), (two, one)))
        tests.append((row["p"], mcnemar(b, c).p))
    if comparison == "ai_vs_each_reader":
        assert [p for p, _ in tests] == pytest.approx(list(holm([p for _, p in tests])))
    if comparison == "ai_vs_comparators":
        assert tests[0][0] == pytest.approx(tests[0][1])


def test_the_rule_exclude_still_drops_them() -> None:
    document = crossed(missing="exclude")
    both = sum(UNDECIDED not in pair for pair in zip(said(document, "AI"), said(document, "P2"), strict=True))
    row = next(r for r in rows_of(analyse(document), "accuracy", "ai_vs_each_reader") if r["what"] == "AI minus P2")
    assert row["estimate"]["n"] == both < 20


def macro_f1(truth: list[str], answers: list[str]) -> float:
    values = []
    for name in FIVE:
        hit = sum(t == a == name for t, a in zip(truth, answers, strict=True))
        both = truth.count(name) + answers.count(name)
        if both:
            values.append(2 * hit / both)
    return sum(values) / len(values)


@pytest.mark.parametrize("missing", ["wrong", "exclude"])
def test_a_macro_metric_with_and_without_ai_has_a_row_over_all_readers(missing: str) -> None:
    """Estimate by counting; standard error against the jackknife, which shares nothing with the influence functions."""
    document = crossed(150, missing)
    document["plan"]["margin"] = 0.3
    document["plan"]["levels"] = document["plan"]["levels"][:1]
    result = analyse(document)
    names = ["P1-3", "P2-2", "P1-1", "P2"]
    table = np.array([[case["reference"] for case in document["cases"]], *(said(document, n) for n in names)])
    if missing == "exclude":
        table = table[:, ~(table == UNDECIDED).any(axis=0)]
    whole = [macro_f1(list(table[0]), list(column)) for column in table[1:]]
    row = rows_of(result, "macro_f1", "with_vs_without_ai")[-1]
    assert (row["what"], row["number"], row["margin"]) == ("all readers, with minus without", 1, 0.3)
    assert row["estimate"]["estimate"] == pytest.approx((whole[0] + whole[1] - whole[2] - whole[3]) / 2)
    assert row["estimate"]["n"] == table.shape[1]
    less = [np.delete(table, i, axis=1) for i in range(table.shape[1])]
    loo = [[macro_f1(list(t[0]), list(column)) for column in t[1:]] for t in less]
    other = obuchowski_rockette(np.reshape(whole, (2, 2)), jackknife_covariance(loo)).fixed_readers.differences[0]
    found = result["levels"]["five"]["arms"]["macros"]["f1"]
    assert found["fixed_readers"]["differences"][0]["se"] == pytest.approx(other.se, rel=0.05)
    assert row["estimate"]["low"] == found["low"] < row["estimate"]["estimate"] < found["high"]
    assert row["verdict"].split(":")[0] in {"non-inferior", "superior", "inferior", "non-inferiority not shown"}
    shown = {t.key: t for t in result_tables(result)}["arms_five"]
    means = [r for r in shown.rows if r["reader"] == "mean of the readers"]
    assert [r["metric"] for r in means] == [
        "Macro PPV",
        "Macro sensitivity",
        "Macro F1",
        "Accuracy",
        "Macro specificity",
    ]


def test_accuracy_over_all_readers_counts_undecided_answers_too(wrong: tuple[Document, Document]) -> None:
    document, result = wrong
    truth = [case["reference"] for case in document["cases"]]
    correct = [[[a == t for a, t in zip(said(document, n), truth, strict=True)] for n in names]
               for names in (("P1-3", "P2-2"), ("P1-1", "P2"))]  # fmt: skip
    expected = analyse_proportion(np.array(correct, dtype=float)).random.differences[0]
    row = rows_of(result, "accuracy", "with_vs_without_ai")[-1]
    values = [row["estimate"][key] for key in ("estimate", "low", "high")]
    assert values == pytest.approx([expected.estimate, expected.low, expected.high])


def test_macro_metrics_against_the_mean_have_random_readers_whatever_the_rule(wrong: tuple[Document, Document]) -> None:
    row = rows_of(wrong[1], "macro_f1", "ai_vs_reader_mean")[0]
    assert row["estimate"]["method"] == "obuchowski-rockette-one-treatment"
    assert row["estimate"]["n"] == 20
    assert "Undecided answers are wrong" in row["estimate"]["note"]


def test_tables_say_what_they_do_with_undecided_answers(wrong: tuple[Document, Document]) -> None:
    tables = {t.key: " ".join(t.notes) for t in result_tables(wrong[1])}
    for key in ("arms_five", "comparators_five"):
        assert "count as wrong" in tables[key]
    for key in ("ai_readers_five", "each_five", "metrics_five"):
        assert "left out here; the endpoints count them as wrong" in tables[key]
    excluded = {
        t.key: " ".join(t.notes) for t in result_tables(analyse(changed(wrong[0], "plan", "missing", to="exclude")))
    }
    assert not any("ndecided answers" in text for text in excluded.values())


def test_a_reader_with_two_sessions_with_ai_is_one_reader(wrong: tuple[Document, Document]) -> None:
    """The second one has rows of its own and changes no number of the mean."""
    document = crossed()
    again = add_aided(document, "P1-1", 4, seed=9)
    result = analyse(document)
    once, twice = (r["levels"]["five"]["arms"] for r in (wrong[1], result))
    assert (twice["overall"], twice["macros"]) == (once["overall"], once["macros"])
    assert twice["overall"]["n_readers"] == 2
    assert [row["in_mean"] for row in twice["changed"]] == [True, False, True]
    assert f"{again} minus P1-1" in {row["what"] for row in rows_of(result, "accuracy", "with_vs_without_ai")}
    tables = [next(t for t in result_tables(r) if t.key == "arms_five") for r in (wrong[1], result)]
    means = [[row for row in t.rows if row["reader"] == "mean of the readers"] for t in tables]
    assert means[0] == means[1]
    text = " ".join(dict(methods_text(document, result))["Readers and reading"])
    assert "0 of 2 readers who read both ways" in text
    named = {row["reader"] for row in tables[1].rows}
    assert {"P1 (P1-3)", "P1 (P1-4, not in the mean)", "P2"} < named


def test_one_reader_alone_has_no_mean_over_readers_however_often_with_ai() -> None:
    document = small(20, resamples=20)
    add_aided(document, "P1-1", 4)
    arms = analyse(document)["levels"]["five"]["arms"]
    assert (len(arms["pairs"]), arms["overall"], arms["macros"]) == (2, None, {})


def test_a_margin_that_could_once_be_locked_is_said_to_be_none() -> None:
    """Margin 1, or one whose primary endpoint gives no verdict: the analysis is made, and a remark says why."""
    one = analyse(changed(crossed(primary=("macro_f1", "ai_vs_reader_mean")), "plan", "margin", to=1.0))
    assert one["endpoints"][0]["verdict"] == "no margin in the protocol"
    assert any("margin of 1 excludes nothing" in row["text"] for row in one["remarks"])
    each = analyse(crossed(primary=("accuracy", "ai_vs_each_reader")))
    assert any("no confirmatory statement" in row["text"] for row in each["remarks"])


def test_a_secondary_endpoint_says_whose_margin_it_is(document: Document, result: Document) -> None:
    document = changed(document, "plan", "endpoints", to=[
        {"metric": "macro_f1", "role": "primary", "comparison": "ai_vs_reader_mean", "since_version": 1},
        {"metric": "accuracy", "role": "secondary", "comparison": "ai_vs_reader_mean", "since_version": 1},
    ])  # fmt: skip
    primary, secondary = (row["verdict"] for row in analyse(document)["endpoints"])
    assert primary == result["endpoints"][0]["verdict"]
    assert "the margin was set for the primary endpoint" not in primary
    assert secondary.endswith("; the margin was set for the primary endpoint")


@pytest.mark.slow
def test_the_interval_of_macro_f1_over_readers_covers_what_it_says() -> None:
    """1,500 studies without an effect of the AI: 4 readers of differing skill and response to the arm, 20 patients in
    each of 5 classes of differing difficulty, 5 % undecided. The interval for these readers alone covers less, for it
    leaves out how readers differ."""
    rng, n_readers, k, n, studies = np.random.default_rng(7), 4, 5, 100, 1_500
    reference = np.repeat(np.arange(k), n // k)
    hits = {"random": 0, "fixed": 0}
    for _ in range(studies):
        difficulty, skill = rng.normal(0, 1, n), rng.normal(1.2, 0.5, n_readers)
        reads = []
        for own in np.tile(skill, 2) + rng.normal(0, 0.25, 2 * n_readers):
            right = rng.random(n) < 1 / (1 + np.exp(difficulty - own))
            answer = np.where(right, reference, (reference + rng.integers(1, k, n)) % k)
            reads.append(np.where(rng.random(n) < 0.05, k, answer))
        values, covariance, _ = linearised(np.stack(reads, axis=1), reference, k, "f1")
        found = obuchowski_rockette(values.reshape(2, n_readers), covariance, n=n)
        for name, design in (("random", found.random), ("fixed", found.fixed_readers)):
            hits[name] += design.differences[0].low <= 0 <= design.differences[0].high
    print({name: hit / studies for name, hit in hits.items()})
    assert 0.93 < hits["random"] / studies < 0.97
    assert hits["fixed"] < hits["random"]


def test_changes_with_and_without_ai_are_counted_on_the_cases_of_their_difference() -> None:
    """One reader did not read two cases with the AI, one of them a case that the other reader got right only then."""
    document = crossed(missing="exclude")
    document["plan"]["resamples"] = 0
    aided = next(e for e in document["evaluators"] if e["name"] == "P2-2")
    first = next(e for e in document["evaluators"] if e["name"] == "P1-3")
    alone = next(e for e in document["evaluators"] if e["name"] == "P1-1")
    code, truth = document["cases"][1]["code"], document["cases"][1]["reference"]
    for session, said in ((first, truth), (alone, "CML")):
        row = next(a for a in session["answers"] if a["case"] == code)
        row |= {"answers": {"five": said}, "cannot_decide": False}
    aided["answers"] = [a for a in aided["answers"] if a["case"] not in (code, document["cases"][2]["code"])]
    result = analyse(document)
    table = next(t for t in result_tables(result) if t.key == "arms_five")
    pairs = [r for r in table.rows if r["metric"] == "Accuracy"]
    mean = pairs.pop()
    assert mean["reader"] == "mean of the readers"
    names = ("P1-3", "P1-1", "P2-2", "P2")
    codes = [c["code"] for c in document["cases"]]
    columns = [dict(zip(codes, said_by(document, name), strict=True)) for name in names]
    complete = [c for c in document["cases"] if all(column[c["code"]] not in (None, UNDECIDED) for column in columns)]
    right = [[column[c["code"]] == c["reference"] for column in columns] for c in complete]
    assert (mean["n"], mean["dropped"]) == (len(complete), 20 - len(complete))
    assert mean["to_right"] == sum((a and not b) + (c and not d) for a, b, c, d in right)
    assert mean["to_wrong"] == sum((b and not a) + (d and not c) for a, b, c, d in right)
    assert mean["to_right"] < sum(row["to_right"] for row in pairs)
    gain = (mean["to_right"] - mean["to_wrong"]) / (2 * len(complete))
    assert mean["difference"]["estimate"] == pytest.approx(gain)


def said_by(document: Document, name: str) -> list[str | None]:
    """As ``said``; None for a case that was not read."""
    rows = {a["case"]: a for a in next(e for e in document["evaluators"] if e["name"] == name)["answers"]}
    return [rows[c["code"]]["answers"].get("five", UNDECIDED) if c["code"] in rows else None for c in document["cases"]]
