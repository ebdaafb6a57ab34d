"""The whole-table analysis, on the reconstruction of the paper's patients and on small tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest

from leukoweb.statistics.ratings import RatingsPlan, analyse_ratings, parse_sessions, read_csv
from leukoweb.statistics.ratings_report import CSV_HEADER, printed, report_csv, report_text
from leukoweb.statistics.results import StatisticsError
from tests.statistics.golden import agrees, expected_of, golden_file

CLASSES = ("ALL", "AML", "CLL", "CML", "NO_LEUKEMIA")
POSITIVE = CLASSES[:4]
GROUPS = {"ALL": "ACUTE", "AML": "ACUTE", "CLL": "CHRONIC", "CML": "CHRONIC", "NO_LEUKEMIA": "NO_LEUKEMIA"}
EVALUATORS = ("AI", "P1-1", "P1-2", "P2", "P3")
PRINTED = ("macro_ppv", "macro_sensitivity", "macro_f1", "accuracy", "macro_specificity")
TABLE_S1 = {
    "AI": "0.95 0.94 0.94 0.92 0.95", "P1-1": "0.86 0.91 0.88 0.92 0.96", "P1-2": "0.84 0.86 0.85 0.91 0.95",
    "P2": "0.88 0.93 0.90 0.91 0.95", "P3": "0.85 0.93 0.88 0.91 0.96",
}  # fmt: skip
TABLE_S2 = {
    "AI": "0.80 0.80 0.77 0.70 0.93", "P1-1": "0.76 0.76 0.72 0.86 0.96", "P1-2": "0.73 0.71 0.71 0.84 0.96",
    "P2": "0.81 0.88 0.83 0.86 0.96", "P3": "0.75 0.84 0.78 0.86 0.97",
}  # fmt: skip


def patients(groups: dict[str, str] | None = None) -> dict[str, list[str]]:
    """The reconstruction with the platform's class names, or with three classes."""
    columns = read_csv(golden_file("leukemia64_reconstruction.csv").read_text(encoding="utf-8"))
    for name in ("truth", *EVALUATORS):
        labels = ["NO_LEUKEMIA" if label == "NONE" else label for label in columns[name]]
        columns[name] = labels if groups is None else [groups[label] for label in labels]
    return columns


def plan(**changes: Any) -> RatingsPlan:
    options: dict[str, Any] = {
        "raters": EVALUATORS[1:], "classes": CLASSES, "sessions": {"P1": ("P1-1", "P1-2")}, "reference": "truth",
        "ai": "AI", "case": "case", "positive": POSITIVE, "margin": 0.05, "bootstrap": 400,
    }  # fmt: skip
    return RatingsPlan(**(options | changes))


THREE = {"classes": ("ACUTE", "CHRONIC", "NO_LEUKEMIA"), "positive": ("ACUTE", "CHRONIC")}


@pytest.fixture(scope="module")
def five() -> dict[str, Any]:
    return analyse_ratings(patients(), plan())


@pytest.fixture(scope="module")
def three() -> dict[str, Any]:
    return analyse_ratings(patients(GROUPS), plan(**THREE))


def test_50_of_50_printed_numbers(three: dict[str, Any], five: dict[str, Any]) -> None:
    """Tables S1 and S2 of the paper (Appendix 3), rounded half up."""
    found = wanted = 0
    for result, table in ((three, TABLE_S1), (five, TABLE_S2)):
        for evaluator, row in table.items():
            for metric, text in zip(PRINTED, row.split(), strict=True):
                wanted += 1
                found += printed(result["evaluators"][evaluator][metric]["estimate"]) == text
    assert (found, wanted) == (50, 50)


def test_printed_kappa_ranges(three: dict[str, Any], five: dict[str, Any]) -> None:
    """Fig. 8: AI with pathologists 74-77 % and 52-53 %, pathologists with each other 82-87 % and 72-79 %."""
    ranges = {"ai-reader": ("0.74", "0.77", "0.52", "0.53"), "reader-reader": ("0.82", "0.87", "0.72", "0.79")}
    for kind, (low3, high3, low5, high5) in ranges.items():
        for result, low, high in ((three, low3, high3), (five, low5, high5)):
            kappas = [pair["kappa"]["estimate"] for pair in result["pairwise"] if pair["kind"] == kind]
            assert (printed(min(kappas)), printed(max(kappas))) == (low, high)


def estimates(tree: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(tree, dict):
        if "estimate" in tree:
            yield path, tree
        for key, value in tree.items():
            yield from estimates(value, f"{path}/{key}")
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from estimates(value, f"{path}/{index}")


def test_every_number_of_the_reconstruction_has_an_interval(three: dict[str, Any], five: dict[str, Any]) -> None:
    for result in (three, five):
        found = list(estimates(result))
        assert len(found) > 200
        for path, item in found:
            assert item["estimate"] is not None, path
            assert item["low"] is not None, (path, item)
            assert item["low"] <= item["estimate"] <= item["high"], (path, item)
            assert item["method"] != "none", path


def _comparison(result: dict[str, Any], metric: str) -> dict[str, Any]:
    section = result["ai_vs_readers"]
    return section[metric] if metric == "accuracy" else section["binary"][metric]


def test_ai_against_readers_equals_the_golden_values(three: dict[str, Any], five: dict[str, Any]) -> None:
    golden = expected_of("leukemia64_reconstruction")["mrmc_AI_vs_3_readers"]
    for name, result, metric in (
        ("accuracy5", five, "accuracy"),
        ("accuracy3", three, "accuracy"),
        ("sens_leukemia", five, "sensitivity"),
        ("spec_leukemia", five, "specificity"),
    ):
        wanted, found = golden[f"leukemia64_AI_vs_3readers_{name}"], _comparison(result, metric)
        pairs = (
            (found["ai"], wanted["fom_ai"]),
            (found["readers_mean"], wanted["mean_readers"]),
            (found["difference"], -wanted["diff_readers_minus_ai"]),
            (found["se"], wanted["se"]),
            (found["df"], wanted["df"]),
            (found["low"], wanted["ci_ai_minus_readers"][0]),
            (found["high"], wanted["ci_ai_minus_readers"][1]),
        )
        assert all(agrees(a, b, 1e-6) for a, b in pairs), (name, pairs)
        assert found["non_inferior"] is wanted["noninferiority"][0]["noninferior_at_0.025"]


def test_secondary_sessions_are_reported_but_not_pooled(five: dict[str, Any]) -> None:
    assert five["design"]["primary_sessions"] == ["P1-1", "P2", "P3"]
    golden = expected_of("leukemia64_reconstruction")["agreement"]["leukemia64_5class_3readers"]["expected"]
    found = five["multi_rater"]
    for name, key in (
        ("fleiss_kappa", "fleiss_kappa.complete_cases"),
        ("conger_kappa", "conger_kappa.complete_cases"),
        ("light_kappa", "light_kappa.complete_cases"),
        ("krippendorff_alpha", "krippendorff_alpha.nominal"),
        ("gwet_ac1", "gwet_ac1.unweighted"),
        ("brennan_prediger", "brennan_prediger.unweighted"),
        ("percent_agreement", "percent_agreement.unweighted"),
    ):
        assert agrees(found[name]["estimate"], golden[key]["value"], 1e-6), name
    assert agrees(found["gwet_ac1"]["se"], golden["gwet_ac1.unweighted.se"]["value"], 1e-6)
    (intra,) = five["intra_observer"]
    assert (intra["reader"], intra["a"], intra["b"]) == ("P1", "P1-1", "P1-2")
    assert {"P1-1", "P1-2"} not in [{pair["a"], pair["b"]} for pair in five["pairwise"]]
    assert five["evaluators"]["P1-2"]["accuracy"]["estimate"] == 54 / 64


def test_the_documented_keys(five: dict[str, Any]) -> None:
    one = five["evaluators"]["AI"]
    macros = {"macro_sensitivity", "macro_specificity", "macro_ppv", "macro_f1"}
    assert {"n", "confusion", "accuracy", "per_class", "binary", *macros} <= set(one)
    assert set(one["per_class"]) == set(CLASSES)
    metrics = {"sensitivity", "specificity", "ppv", "npv", "f1"}
    assert metrics == set(one["per_class"]["ALL"])
    assert metrics <= set(one["binary"])
    for item in (one["accuracy"], one["macro_f1"], one["per_class"]["ALL"]["npv"], one["binary"]["f1"]):
        assert {"estimate", "low", "high", "method", "n"} <= set(item)
    assert {"a", "b", "n", "percent_agreement", "kappa", "kappa_linear", "kappa_quadratic"} <= set(five["pairwise"][0])
    assert {"estimate", "se", "low", "high"} <= set(five["pairwise"][0]["kappa"])
    assert set(five["multi_rater"]) == {
        "percent_agreement", "fleiss_kappa", "fleiss_kappa_missing", "conger_kappa", "light_kappa", "gwet_ac1",
        "krippendorff_alpha", "krippendorff_alpha_ordinal", "krippendorff_alpha_interval", "brennan_prediger",
    }  # fmt: skip
    for item in five["multi_rater"].values():
        assert {"estimate", "se", "low", "high", "n_items"} <= set(item)
    compared = dict(five["ai_vs_readers"])
    binary = compared.pop("binary")
    assert "accuracy" in compared
    assert set(binary) == metrics
    for item in (*compared.values(), *binary.values()):
        assert {"ai", "readers_mean", "difference", "se", "df", "low", "high", "non_inferior"} <= set(item)
    for pair in five["paired"]:
        assert {"a", "b", "mcnemar_exact_p", "stuart_maxwell", "bowker"} <= set(pair)
        assert {"statistic", "df", "p"} <= set(pair["stuart_maxwell"])


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(five: dict[str, Any]) -> None:
    assert analyse_ratings(patients(), plan()) == five
    other = analyse_ratings(patients(), plan(seed=2))
    assert other["evaluators"]["AI"]["macro_f1"]["low"] != five["evaluators"]["AI"]["macro_f1"]["low"]
    assert other["evaluators"]["AI"]["accuracy"] == five["evaluators"]["AI"]["accuracy"]


def test_without_bootstrap_all_intervals_are_analytic() -> None:
    result = analyse_ratings(patients(), plan(bootstrap=0))
    methods = {item["method"] for _, item in estimates(result)}
    assert not [method for method in methods if "bootstrap" in method]
    kappa = next(pair for pair in result["pairwise"] if (pair["a"], pair["b"]) == ("AI", "P1-1"))["kappa"]
    agreement = expected_of("leukemia64_reconstruction")["agreement"]
    golden = agreement["leukemia64_5class_pair_AI_P1-1"]["expected"]["cohen_kappa.unweighted.ci95"]["value"]
    assert [kappa["low"], kappa["high"]] == pytest.approx(golden, abs=1e-6)


def small(**columns: list[str]) -> dict[str, list[str]]:
    return {"truth": list("aabbc"), "r1": list("aabbc"), "r2": ["a", "b", "b", "", "c"], **columns}


def test_an_empty_cell_is_a_read_that_did_not_happen() -> None:
    result = analyse_ratings(small(), RatingsPlan(("r1", "r2"), tuple("abc"), reference="truth", bootstrap=0))
    assert result["evaluators"]["r2"]["n"] == 4
    assert result["evaluators"]["r2"]["missing"] == 1
    assert result["pairwise"][0]["n"] == 4
    assert result["multi_rater"]["fleiss_kappa"]["n_items"] == 4
    assert result["multi_rater"]["gwet_ac1"]["n_items"] == 5
    assert result["ai_vs_readers"] is None


@pytest.mark.parametrize("resamples", [0, 30])
def test_a_reader_who_read_nothing_is_undefined_and_breaks_nothing(resamples: int) -> None:
    table = small(r3=[""] * 5)
    plan_ = RatingsPlan(
        ("r1", "r3"), tuple("abc"), reference="truth", ai="r2", positive=("a",), margin=0.1, bootstrap=resamples
    )
    result = analyse_ratings(table, plan_)
    assert result["evaluators"]["r3"]["n"] == 0
    assert result["evaluators"]["r3"]["accuracy"]["estimate"] is None
    assert result["multi_rater"]["fleiss_kappa"]["estimate"] is None
    assert result["multi_rater"]["conger_kappa"]["estimate"] is None
    assert result["ai_vs_readers"]["accuracy"]["difference"] is None
    assert result["ai_vs_readers"]["accuracy"]["non_inferior"] is None
    assert report_text(result)
    assert report_csv(result)


def test_averages_over_different_classes_are_marked() -> None:
    table = {"truth": list("aabbcc"), "ai": list("aabbbb"), "r1": list("aabbcc"), "r2": list("aabbcb")}
    result = analyse_ratings(table, RatingsPlan(("r1", "r2"), tuple("abc"), reference="truth", ai="ai", bootstrap=0))
    assert "different classes" in result["ai_vs_readers"]["macro_ppv"]["note"]
    assert "different classes" not in result["ai_vs_readers"]["macro_sensitivity"].get("note", "")


def test_a_class_that_nobody_has_or_gives_is_null_and_left_out() -> None:
    result = analyse_ratings(small(), RatingsPlan(("r1", "r2"), tuple("abcd"), reference="truth", bootstrap=50))
    one = result["evaluators"]["r1"]
    assert all(item["estimate"] is None for item in one["per_class"]["d"].values())
    f1, sensitivity = one["macro_f1"], one["macro_sensitivity"]
    assert (f1["estimate"], f1["low"], f1["method"], f1["n_classes"]) == (1.0, None, "none", 3)
    assert "not estimable" in f1["note"]
    assert (sensitivity["method"], sensitivity["high"]) == ("mover", 1.0)
    assert sensitivity["note"] == "bootstrap not estimable: the same in all resamples"
    assert "-" in report_text(result)


def test_without_a_reference_there_is_agreement_only() -> None:
    result = analyse_ratings(small(), RatingsPlan(("r1", "r2"), tuple("abc"), bootstrap=20))
    assert result["evaluators"]["r1"] == {"n": 5, "reads": {"a": 2, "b": 2, "c": 1}}
    assert result["paired"][0]["mcnemar_exact_p"] is None
    assert result["cochran_q"] is None
    assert report_text(result)
    assert report_csv(result)


def test_options_that_cannot_be_answered_are_noted() -> None:
    plan_ = RatingsPlan(("r1", "r2"), tuple("abc"), positive=("a",), margin=0.1, bootstrap=0)
    notes = analyse_ratings(small(), plan_)["design"]["notes"]
    assert any("agreement only" in note for note in notes)
    assert any("margin 0.1 is not used" in note for note in notes)


def test_one_reader_has_no_multi_rater_agreement() -> None:
    result = analyse_ratings(small(), RatingsPlan(("r1",), tuple("abc"), reference="truth", bootstrap=0))
    assert result["multi_rater"] is None
    assert result["pairwise"] == []


def test_rows_of_one_patient_are_clustered_and_tests_left_out() -> None:
    table = small(patient=["1", "1", "2", "2", "3"])
    options = {"reference": "truth", "case": "patient", "bootstrap": 50}
    result = analyse_ratings(table, RatingsPlan(("r1", "r2"), tuple("abc"), **options))  # type: ignore[arg-type]
    assert result["design"]["n_patients"] == 3
    assert result["paired"] == []
    assert "clustered" in result["evaluators"]["r2"]["accuracy"]["method"]
    assert any("3 patients" in note for note in result["design"]["notes"])
    mixed = analyse_ratings(small(patient=list("12123")), RatingsPlan(("r1", "r2"), tuple("abc"), **options))  # type: ignore[arg-type]
    assert any("without strata" in note for note in mixed["design"]["notes"])


def test_a_reader_named_in_raters_stands_for_the_sessions() -> None:
    by_reader = analyse_ratings(patients(), plan(raters=("P1", "P2", "P3"), bootstrap=0))
    by_session = analyse_ratings(patients(), plan(bootstrap=0))
    assert by_reader == by_session


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"raters": ("P9",)}, r"No column 'P9'; the table has case, truth"),
        ({"classes": ("ALL", "AML"), "positive": ("ALL",)}, "not among the classes ALL, AML"),
        ({"classes": ("ALL",)}, "at least 2"),
        ({"positive": CLASSES}, "must be negative"),
        ({"positive": ("X",)}, "Positive X is not among"),
        ({"margin": 0.0}, "margin"),
        ({"margin": 1.5}, "margin"),
        ({"bootstrap": -1}, "resamples"),
        ({"bootstrap": 10**7}, "resamples"),
        ({"seed": -1}, "seed"),
        ({"level": 1.0}, "level"),
        ({"reference": "P2"}, "both the reference and an evaluator"),
        ({"ai": "truth"}, "both the reference and an evaluator"),
        ({"sessions": {"P1": ("P1-1", "P1-2"), "PX": ("P1-1", "P3")}}, "named twice"),
        ({"sessions": {"P1": ("AI", "P1-1")}}, "both the AI and a session of P1"),
        ({"raters": (), "ai": None, "sessions": {}}, "one evaluator"),
    ],
)
def test_plans_that_cannot_be_analysed_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        analyse_ratings(patients(), plan(**changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("a,b\n", "no row"),
        ("a,a\n1,2\n", "given twice"),
        ("a,\n1,2\n", "empty or given twice"),
        ("a,b\n1,2\n1\n", "Line 3 has 1 cells"),
        ('a,b\n1,"2\n' + "x" * 140_000, "not a CSV table"),
    ],
)
def test_files_that_are_no_table_are_refused(text: str, message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        read_csv(text)


def test_tables_from_a_spreadsheet_are_read() -> None:
    wanted = {"case": ["1", "2"], "r 1": ["a;b", ""]}
    assert read_csv('\ufeffcase; r 1\r\n1;"a;b"\r\n2;\r\n\r\n') == wanted
    assert read_csv("case\tr 1\n1\ta;b\n2\t\n") == wanted
    assert read_csv("case\tr 1\r1\ta;b\r2\t\r") == wanted


def test_sessions_are_parsed_or_refused() -> None:
    both = {"P1": ("a", "b"), "P2": ("c", "d")}
    assert parse_sessions(["P1=a,b; P2=c,d"]) == parse_sessions(["P1=a,b", "P2=c, d"]) == both
    for text in ("P1", "P1=a", "=a,b", "P1=a,b;P1=c,d"):
        with pytest.raises(StatisticsError, match="two or more"):
            parse_sessions([text])


def test_small_classes_are_warned_of_and_have_the_analytic_interval_beside(five: dict[str, Any]) -> None:
    assert any("ALL 7, CLL 3, CML 4" in note for note in five["design"]["notes"])
    macro = five["evaluators"]["AI"]["macro_sensitivity"]
    assert macro["analytic"]["method"] == "mover"
    assert macro["analytic"]["high"] - macro["analytic"]["low"] > macro["high"] - macro["low"]


def test_rounding_is_half_up() -> None:
    assert [printed(x) for x in (0.625, 0.125, 45 / 64, 0.005, -0.004, None)] == [
        "0.63",
        "0.13",
        "0.70",
        "0.01",
        "0.00",
        "-",
    ]


def test_the_csv_carries_counts_and_methods_and_no_formula(five: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(report_csv(five))))
    assert tuple(rows[0]) == CSV_HEADER
    accuracy = next(row for row in rows if (row["evaluator"], row["metric"]) == ("AI", "accuracy"))
    assert (accuracy["numerator"], accuracy["denominator"], accuracy["method"]) == ("45", "64", "wilson")
    assert float(accuracy["estimate"]) == 45 / 64
    cells = [row for row in rows if row["evaluator"] == "AI" and row["metric"].startswith("confusion to")]
    assert sum(int(row["estimate"]) for row in cells) == 64
    assert {"evaluators", "pairwise", "intra_observer", "paired", "multi_rater", "ai_vs_readers", "cochran_q"} == {
        row["section"] for row in rows
    }
    evil = small()
    evil["=cmd"] = evil.pop("r1")
    report = report_csv(
        analyse_ratings(evil, RatingsPlan(("=cmd", "r2"), tuple("abc"), reference="truth", bootstrap=0))
    )
    assert "'=cmd" in report
    assert "\nevaluators,=cmd" not in report


def test_the_text_is_a_report(five: dict[str, Any]) -> None:
    text = report_text(five)
    for piece in ("Methods", "0.70 (0.58 to 0.80)", "Intra-observer", "Krippendorff", "Holm", "Research use only"):
        assert piece in text
    assert "None" not in text
    assert " nan" not in text
