"""The consistency checker: the paper's tables, an exhaustive reference on small tables, and its command."""

from __future__ import annotations

import functools
import io
import itertools
import json
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from leukoweb.statistics.consistency import check_table
from leukoweb.statistics.consistency_matrices import first_matrices
from leukoweb.statistics.consistency_metrics import (
    Conventions,
    Signature,
    fits,
    metric_value,
    parse_printed,
    rounds_to,
)
from leukoweb.statistics.consistency_table import metric_name, parse_paste
from leukoweb.statistics.results import StatisticsError

THREE = {"ACUTE": 29, "CHRONIC": 7, "NO_LEUKEMIA": 28}
SMALL = {"a": 3, "b": 2, "c": 4}
FIVE = {"ALL": 7, "AML": 22, "CLL": 3, "CML": 4, "NO_LEUKEMIA": 28}
HEADINGS = ("macro_ppv", "macro_sensitivity", "macro_f1", "accuracy", "macro_specificity")
TABLE_S1 = ((29, 0, 0), (0, 7, 0), (5, 0, 23))
TABLE_S2 = ((5, 2, 0, 0, 0), (12, 10, 0, 0, 0), (0, 0, 3, 0, 0), (0, 0, 0, 4, 0), (4, 1, 0, 0, 23))
# Results section of the paper: class F1 of the AI pipeline.
TEXT_F1 = {"ALL:f1": "0.36", "AML:f1": "0.57", "CLL:f1": "1", "CML:f1": "1"}


def row(text: str) -> dict[str, str]:
    return dict(zip(HEADINGS, text.split(), strict=True))


S1, S2 = row("0.95 0.94 0.94 0.92 0.95"), row("0.80 0.80 0.77 0.70 0.93")


def never_missed(sizes: dict[str, int]) -> dict[tuple[str, str], int]:
    """No leukemia patient was called no leukemia."""
    return {(name, "NO_LEUKEMIA"): 0 for name in sizes if name != "NO_LEUKEMIA"}


def test_consistency_three_classes_of_the_paper() -> None:
    (alone,) = check_table(THREE, {"AI": S1})
    assert alone.n_matrices == 3
    assert TABLE_S1 in alone.matrices
    (known,) = check_table(THREE, {"AI": S1}, cells=never_missed(THREE))
    assert known.verdict == "reproduced"
    assert known.matrices == (TABLE_S1,)
    assert known.exact["accuracy"] == 59 / 64


def test_consistency_five_classes_of_the_paper() -> None:
    (alone,) = check_table(FIVE, {"AI": S2})
    assert alone.n_matrices == len(alone.matrices) == 58
    (known,) = check_table(FIVE, {"AI": S2}, cells=never_missed(FIVE))
    assert known.n_matrices == 8
    for cells in ({}, never_missed(FIVE)):
        (unique,) = check_table(FIVE, {"AI": S2 | TEXT_F1}, cells=cells)
        assert unique.matrices == (TABLE_S2,)
        assert unique.exact["macro_f1"] == pytest.approx(0.7661064425770309, abs=1e-15)


def test_consistency_accuracy_in_the_text_is_impossible() -> None:
    """0.77 fits the other values of Table S2 alone, but no table once the class F1s of the text are added."""
    wrong = S2 | {"accuracy": "0.77"}
    assert check_table(FIVE, {"AI": wrong})[0].verdict == "reproduced"
    (check,) = check_table(FIVE, {"AI": wrong | TEXT_F1})
    assert check.verdict == "impossible"
    assert check.n_matrices == 0
    assert check.blame == {"accuracy": ("0.70",)}
    (weaker,) = check_table(FIVE, {"AI": wrong | {"CLL:f1": "1.00", "CML:f1": "1.00"}})
    assert weaker.verdict == "impossible"
    assert weaker.blame["accuracy"] == ("0.70", "0.72", "0.75")


def compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in compositions(total - first, parts - 1):
            yield (first, *rest)


def reference_metrics(matrix: tuple[tuple[int, ...], ...], undefined: str) -> dict[str, Fraction | None]:
    """Straight from the definitions, without anything of the library."""
    k, n = len(matrix), sum(map(sum, matrix))
    rows = [sum(line) for line in matrix]
    columns = [sum(line[j] for line in matrix) for j in range(k)]
    values: dict[str, list[Fraction | None]] = {
        "ppv": [Fraction(matrix[j][j], columns[j]) if columns[j] else None for j in range(k)],
        "sensitivity": [Fraction(matrix[j][j], rows[j]) for j in range(k)],
        "specificity": [Fraction(n - rows[j] - columns[j] + matrix[j][j], n - rows[j]) for j in range(k)],
        "npv": [
            Fraction(n - rows[j] - columns[j] + matrix[j][j], n - columns[j]) if columns[j] < n else None
            for j in range(k)
        ],
        "f1": [Fraction(2 * matrix[j][j], rows[j] + columns[j]) for j in range(k)],
    }
    out: dict[str, Fraction | None] = {"accuracy": Fraction(sum(matrix[j][j] for j in range(k)), n)}
    chance = sum(r * c for r, c in zip(rows, columns, strict=True))
    out["kappa"] = (
        Fraction(n * sum(matrix[j][j] for j in range(k)) - chance, n * n - chance) if chance < n * n else None
    )
    for name, items in values.items():
        for j, value in enumerate(items):
            out[f"{'abc'[j]}:{name}"] = value
        kept = [
            (value if value is not None else Fraction(undefined == "one"), weight)
            for value, weight in zip(items, rows, strict=True)
            if value is not None or undefined != "exclude"
        ]
        out[f"macro_{name}"] = sum((v for v, _ in kept), Fraction(0)) / len(kept) if kept else None
        weights = sum(w for _, w in kept)
        out[f"weighted_{name}"] = sum((v * w for v, w in kept), Fraction(0)) / weights if weights else None
    ppv, sensitivity = out["macro_ppv"], out["macro_sensitivity"]
    harmonic = (
        2 * ppv * sensitivity / (ppv + sensitivity) if ppv is not None and sensitivity and ppv + sensitivity else None
    )
    return out | {"harmonic": harmonic}


def half_up(value: Fraction, decimals: int) -> str:
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return str(exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP))


METRICS = (
    "accuracy",
    "kappa",
    *(f"{a}_{m}" for a in ("macro", "weighted") for m in ("ppv", "npv", "specificity", "f1")),
)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=3),
    picked=st.sets(
        st.sampled_from((*METRICS, "macro_sensitivity", "a:f1", "b:ppv", "a:sensitivity")), min_size=1, max_size=4
    ),
    undefined=st.sampled_from(("exclude", "zero", "one")),
    harmonic=st.booleans(),
    spoil=st.booleans(),
    data=st.data(),
)
def test_consistency_equals_exhaustive_search(
    sizes: list[int], picked: set[str], undefined: str, harmonic: bool, spoil: bool, data: st.DataObject
) -> None:
    """Print the metrics of a table, perhaps spoil one, and compare with every table there is."""
    k = len(sizes)
    space = list(itertools.product(*(tuple(compositions(size, k)) for size in sizes)))
    source = reference_metrics(data.draw(st.sampled_from(space)), undefined)

    def value_of(metrics: dict[str, Fraction | None], name: str) -> Fraction | None:
        return metrics["harmonic"] if harmonic and name == "macro_f1" else metrics[name]

    printed = {name: half_up(value, 2) for name in sorted(picked) if (value := value_of(source, name)) is not None}
    if not printed:
        return
    if spoil:
        name = sorted(printed)[0]
        printed[name] = data.draw(st.sampled_from(("0.11", "0.37", "0.50", "0.98")))
    wanted = []
    for matrix in space:
        metrics = reference_metrics(matrix, undefined)
        shown = {name: value_of(metrics, name) for name in printed}
        if all(value is not None and Decimal(half_up(value, 2)) == Decimal(printed[n]) for n, value in shown.items()):
            wanted.append(matrix)
    rules = Conventions(macro_f1="harmonic" if harmonic else "mean", undefined=undefined)  # type: ignore[arg-type]
    (check,) = check_table(dict(zip("abc", sizes, strict=False)), {"row": printed}, conventions=rules)
    assert check.verdict == ("reproduced" if wanted else "impossible")
    assert check.n_matrices == len(wanted)
    assert set(check.matrices) <= set(wanted)
    assert len(check.matrices) == min(len(wanted), 200)


@pytest.mark.slow
@given(cells=st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), st.integers(0, 2), max_size=3))
@settings(max_examples=30, deadline=None)
def test_consistency_known_cells_equal_exhaustive_search(cells: dict[tuple[str, str], int]) -> None:
    wanted = {
        matrix
        for matrix in matrices_of_accuracy("0.56")
        if all(matrix["abc".index(i)]["abc".index(j)] == count for (i, j), count in cells.items())
    }
    (check,) = check_table(SMALL, {"row": {"accuracy": "0.56"}}, cells=cells)
    assert check.n_matrices == len(wanted)
    assert set(check.matrices) == wanted


@functools.cache
def matrices_of_accuracy(printed: str) -> frozenset[tuple[tuple[int, ...], ...]]:
    """Every table of ``SMALL`` whose accuracy is printed so, by definition."""
    space = itertools.product(*(tuple(compositions(size, 3)) for size in SMALL.values()))
    return frozenset(
        m for m in space if half_up(reference_metrics(m, "exclude")["accuracy"] or Fraction(0), 2) == printed
    )


@pytest.mark.parametrize(
    ("rounding", "expected"), [("half-up", "0.13"), ("half-even", "0.12"), ("truncate", "0.12"), ("any", "0.13")]
)
def test_consistency_rounds_exact_fractions(rounding: str, expected: str) -> None:
    printed = parse_printed("accuracy", "0.13", ("a", "b"), None)
    assert printed.show(rounds_to(Fraction(1, 8), printed, rounding)) == expected  # type: ignore[arg-type]


def test_consistency_any_rounding_accepts_each() -> None:
    sizes = {"a": 4, "b": 4}
    for text, rounding, possible in (("0.13", "half-up", True), ("0.12", "half-up", False), ("0.12", "any", True)):
        rules = Conventions(rounding=rounding)  # type: ignore[arg-type]
        (check,) = check_table(sizes, {"row": {"accuracy": text}}, conventions=rules)
        assert (check.verdict == "reproduced") is possible


@pytest.mark.parametrize(("exact", "text"), [(Fraction(-129, 1000), "-0.12"), (Fraction(-9, 1000), "0.00")])
def test_consistency_a_negative_kappa_that_was_cut_off_lies_within_its_limits(exact: Fraction, text: str) -> None:
    printed = parse_printed("kappa", text, ("a", "b"), None)
    for rounding in ("truncate", "any"):
        low, high = printed.limits(rounding)  # type: ignore[arg-type]
        assert fits(exact, printed, rounding)  # type: ignore[arg-type]
        assert low <= exact <= high


def test_consistency_finds_the_table_behind_a_negative_kappa_that_was_cut_off() -> None:
    """Of 2 and 3 patients, none and one right: kappa is -2/3."""
    for rounding in ("truncate", "any"):
        rules = Conventions(rounding=rounding)  # type: ignore[arg-type]
        (check,) = check_table({"a": 2, "b": 3}, {"row": {"kappa": "-0.66"}}, conventions=rules)
        assert check.verdict == "reproduced"


def test_consistency_percent_and_numbers() -> None:
    for values, decimals in (({"accuracy": "92%"}, None), ({"accuracy": "92"}, None), ({"accuracy": 0.92}, 2)):
        (check,) = check_table(THREE, {"AI": dict(S1) | values}, decimals)
        assert check.n_matrices == 3
    (precise,) = check_table(THREE, {"AI": dict(S1) | {"accuracy": "92.2%"}})
    assert precise.n_matrices == 3
    (wrong,) = check_table(THREE, {"AI": dict(S1) | {"accuracy": "92.1%"}})
    assert wrong.blame["accuracy"] == ("92.2%",)


@pytest.mark.slow
def test_consistency_large_space_is_undecided_not_impossible() -> None:
    sizes = dict(zip("abcde", (500, 400, 300, 600, 200), strict=True))
    (check,) = check_table(sizes, {"row": row("0.801 0.803 0.932 0.701 0.931")}, budget=20_000)
    assert check.verdict == "undecided"
    assert check.n_matrices is None
    assert "too large" in check.note


def test_consistency_large_table_is_found_by_trial() -> None:
    """2,000 patients in five classes: far too many tables to search, but one that fits is found and is right."""
    sizes = dict(zip("abcde", (500, 400, 300, 600, 200), strict=True))
    printed = row("0.74 0.76 0.75 0.76 0.94")
    (check,) = check_table(sizes, {"row": printed}, budget=200_000)
    assert check.verdict == "reproduced"
    assert check.at_least
    assert "by trial" in check.note
    (matrix,) = check.matrices
    correct, columns = tuple(matrix[j][j] for j in range(5)), [sum(line[j] for line in matrix) for j in range(5)]
    assert tuple(map(sum, matrix)) == tuple(sizes.values())
    signature = Signature(correct, tuple(c - d for c, d in zip(columns, correct, strict=True)))
    for metric, text in printed.items():
        value = metric_value(
            parse_printed(metric, text, "abcde", None), tuple(sizes.values()), signature, Conventions()
        )
        assert value is not None
        assert half_up(value, 2) == text


def test_consistency_dead_ends_are_given_up_not_searched_for_ever() -> None:
    """Known cells can make a signature without a table that only an enormous search would refute."""
    sizes, signature = (90, 80, 85, 95, 70), Signature((40, 40, 40, 40, 40), (44, 44, 44, 44, 44))
    # Classes 4 and 5 may only be taken for class 1, which has room for 44 of their 85 missed patients.
    known = {(i, j): 0 for i in (3, 4) for j in (1, 2)} | {(3, 4): 0, (4, 3): 0}
    found = first_matrices(sizes, signature, known, 5)
    assert found.matrices == []
    assert not found.complete
    assert first_matrices((3, 3), Signature((1, 2), (1, 2)), {}, 5) == ([((1, 2), (1, 2))], True)


def test_consistency_binary_table_with_thousands_is_decided() -> None:
    (check,) = check_table({"leukemia": 536, "none": 344}, {"model 1": {"leukemia:sensitivity": "0.97"}})
    assert check.verdict == "reproduced"
    # Figure 3 of the paper prints TP 525, FN 11: 0.979, where the text has 0.97.
    (text,) = check_table(
        {"leukemia": 536, "none": 344}, {"model 1": {"leukemia:sensitivity": "0.97"}}, cells={("leukemia", "none"): 11}
    )
    assert text.verdict == "impossible"


def test_consistency_metric_value_of_undefined_class() -> None:
    printed = parse_printed("a:ppv", "0.50", ("a", "b"), None)
    assert metric_value(printed, (2, 2), Signature((0, 2), (0, 2)), Conventions()) is None


@pytest.mark.parametrize(
    ("sizes", "values", "message"),
    [
        ({"a": 3}, {"accuracy": "0.5"}, "classes"),
        ({"a": 3, "b": 0}, {"accuracy": "0.5"}, "0 patients"),
        ({"a": 3, "b": 2}, {"precision": "0.5"}, "no metric called"),
        ({"a": 3, "b": 2}, {"accuracy": "half"}, "not a number"),
        ({"a": 3, "b": 2}, {"accuracy": "101%"}, "beyond"),
        ({"a": 3, "b": 2}, {"accuracy": 0.5}, "how many decimals"),
    ],
)
def test_consistency_refuses_what_it_cannot_read(sizes: dict[str, int], values: dict[str, str], message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        check_table(sizes, {"row": values})


def test_consistency_headings() -> None:
    classes = ("ALL", "AML")
    assert metric_name("Precision/PPV", classes, "macro") == "macro_ppv"
    assert metric_name("Sensitivity/recall", classes, "weighted") == "weighted_sensitivity"
    assert metric_name("macro-averaged F1", classes, "weighted") == "macro_f1"
    assert metric_name("ALL: F1 score", classes, "macro") == "ALL:f1"
    assert metric_name("Cohen's kappa", classes, "macro") == "kappa"
    with pytest.raises(StatisticsError, match="no metric"):
        metric_name("AUC", classes, "macro")


PASTE = """\
# Table S2
n: ALL=7, AML=22, CLL=3, CML=4, NO_LEUKEMIA=28
cell: *>NO_LEUKEMIA=0
also AI: ALL:f1=0.36, AML:f1=0.57, CLL:f1=1, CML:f1=1
also AI in the text: ALL:f1=0.36, AML:f1=0.57, CLL:f1=1, CML:f1=1
Evaluator Precision/PPV Sensitivity/recall F1 Accuracy Specificity
AI 0.80 0.80 0.77 0.70 0.93
AI in the text 0.80 0.80 0.77 0.77 0.93
"""


def test_consistency_paste_separators() -> None:
    plain = parse_paste(PASTE.splitlines())
    assert plain.rows["AI in the text"]["accuracy"] == "0.77"
    assert plain.cells == never_missed(FIVE)
    tabs = "Evaluator\tF1\tAccuracy\nreader one\t0,72\t-\n"
    table = parse_paste(tabs.splitlines(), sizes="a=3 b=4", also=["reader one: kappa=0.5"])
    assert table.rows == {"reader one": {"macro_f1": "0,72", "kappa": "0.5"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n: a=1,b=2\nname,F1\n", "at least one row"),
        ("name,F1\nx,0.5\n", "class sizes are missing"),
        ("n: a=1,b=2\nname,F1\nx,0.5,0.6\n", "3 cells"),
        ("n: a=1,b=2\nname,F1\nx,0.5\nx,0.6\n", "Two rows"),
        ("n: a=1,b=2\nname,F1,F1 score\nx,0.5,0.5\n", "same metric"),
        ("n: a=1,b=2\ncell: a>z=1\nname,F1\nx,0.5\n", "REFERENCE>PREDICTED"),
        ("n: a=1,b=2\nalso y: kappa=1\nname,F1\nx,0.5\n", "no row 'y'"),
        ("n: a\nname,F1\nx,0.5\n", "NAME=VALUE"),
    ],
)
def test_consistency_paste_errors_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        parse_paste(text.splitlines())


def test_consistency_command(tmp_path: Path) -> None:
    paste = tmp_path / "s2.txt"
    paste.write_text(PASTE, encoding="utf-8")
    out = io.StringIO()
    call_command("check_consistency", str(paste), stdout=out)
    assert "AI: 1 matrix reproduces all 9 printed values." in out.getvalue()
    assert "AI in the text: NO table of whole patients" in out.getvalue()
    assert "Without accuracy = 0.77 the rest fits, and it would be 0.70." in out.getvalue()
    out = io.StringIO()
    call_command("check_consistency", str(paste), format="json", stdout=out)
    found = json.loads(out.getvalue())["rows"]
    assert found[0]["matrices"] == [[list(line) for line in TABLE_S2]]
    assert found[1]["verdict"] == "impossible"


def test_consistency_command_refuses_in_one_sentence(tmp_path: Path) -> None:
    paste = tmp_path / "bad.txt"
    paste.write_text("name F1\nx 0.5\n", encoding="utf-8")
    with pytest.raises(CommandError, match="class sizes are missing"):
        call_command("check_consistency", str(paste))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("check_consistency", str(tmp_path / "none.txt"))
