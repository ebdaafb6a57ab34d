"""The protocol document: canonical form, hash, checks, differences, amendments."""

from __future__ import annotations

import copy
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reader_study.analysis.run import analyse
from reader_study.protocol import (
    ABSENT,
    COMPARISONS,
    METRICS,
    ProtocolRefused,
    amendment_problems,
    canonical,
    default_document,
    diff,
    lock_problems,
    notices,
    primary_number,
    protocol_sha256,
    reader_rules,
    reference_map,
    validate,
)
from tests.reader_study.analysis.documents import add_aided, small
from tests.reader_study.protocols import complete, documents, reader


def paths(problems) -> list[str]:
    return [problem.path for problem in problems]


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def test_a_complete_protocol_can_be_locked():
    assert validate(complete()) == []


def test_an_empty_protocol_names_what_is_missing():
    found = paths(validate(default_document()))
    assert {"title", "question", "consent", "instructions", "cases.cohort", "readers", "ai.primary"} <= set(found)


@settings(max_examples=25, deadline=None)
@given(documents)
def test_the_canonical_form_is_a_fixed_point_and_survives_json_in_any_key_order(document):
    assert canonical(document) == document
    shuffled = json.loads(json.dumps(document, sort_keys=True))
    assert list(canonical(shuffled)) == list(document)
    assert protocol_sha256(shuffled) == protocol_sha256(document)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"titel": "x"}, "titel"),
        ({"title": 5}, "title"),
        ({"title": "two\nlines"}, "title"),
        ({"title": "nul\x00"}, "title"),
        ({"title": "half \ud800"}, "title"),
        ({"title": "x" * 161}, "title"),
        ({"washout_days": "42"}, "washout_days"),
        ({"washout_days": True}, "washout_days"),
        ({"washout_days": -1}, "washout_days"),
        ({"non_inferiority_margin": float("nan")}, "non_inferiority_margin"),
        ({"non_inferiority_margin": 2}, "non_inferiority_margin"),
        ({"readers": {}}, "readers"),
        ({"readers": [{"label": "P1", "sessions": ["open"]}]}, "readers.1.sessions.1"),
        ({"navigation": "forwards"}, "navigation"),
        ({"closes_on": "31.12.2026"}, "closes_on"),
        ({"schema": "leukoweb/protocol/9"}, "schema"),
        ({"require_all_viewed": 1}, "require_all_viewed"),
    ],
)
def test_what_is_not_built_right_is_refused_by_path(change, path):
    with pytest.raises(ProtocolRefused) as refused:
        canonical(complete() | change)
    assert paths(refused.value.problems) == [path]


@pytest.mark.parametrize("value", [None, 5, "text", [], [{}]])
def test_what_is_no_document_is_refused(value):
    with pytest.raises(ProtocolRefused):
        canonical(value)


def test_a_near_miss_is_suggested():
    with pytest.raises(ProtocolRefused) as refused:
        canonical(complete() | {"washout_day": 42})
    assert refused.value.hint == "Did you mean washout_days?"


def changed(path: str, value):
    document = complete()
    target = document
    *parents, last = path.split(".")
    for key in parents:
        target = target[int(key) - 1] if isinstance(target, list) else target[key]
    target[int(last) - 1 if isinstance(target, list) else last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "at"),
    [
        ("classes.names", ["AML", "ALL", "CLL", "CML", "NO_LEUKEMIA"], "classes.names"),
        ("classes.names", ["A", "A"], "classes.names"),
        ("classes.map", "three", "classes.names"),
        ("classes.reference_map", {"ALL": "ALL"}, "classes.reference_map"),
        ("cases.patients", [], "cases.patients"),
        ("cases.patients", ["A", "A"], "cases.patients"),
        ("cases.training", ["T", "T"], "cases.training"),
        ("images_per_case", {"rule": "fixed", "k": None, "seed": 1}, "images_per_case.k"),
        ("images_per_case", {"rule": "all", "k": 5, "seed": 1}, "images_per_case.k"),
        ("arms", [], "arms"),
        ("arms", ["blinded", "blinded"], "arms"),
        ("arms", ["blinded", "ai_assisted"], "arms"),
        ("readers.1.label", "", "readers.1.label"),
        ("readers.1.label", "p2", "readers"),
        ("readers.1.username", "P2", "readers"),
        ("readers.2.sessions", [], "readers.2.sessions"),
        ("readers.2.sessions", ["ai_assisted"], "readers.2.sessions"),
        ("primary_session", 2, "primary_session"),
        ("answers.reasons", [], "answers.reasons"),
        ("ai.primary", None, "ai.primary"),
        ("ai.comparators", [{"name": "", "version": "1"}], "ai"),
        ("ai.comparators", [{"name": "starter", "version": "1"}], "ai"),
        ("endpoints", [], "endpoints"),
        ("endpoints.1.role", "secondary", "endpoints"),
        ("endpoints.1.comparison", "ai_vs_comparators", "ai.comparators"),
        ("endpoints.1.comparison", "with_vs_without_ai", "arms"),
        ("planning.expected_per_class", [1, 2], "planning.expected_per_class"),
    ],
)
def test_what_contradicts_itself_cannot_be_locked(path, value, at):
    assert at in paths(validate(changed(path, value)))


PAIRS = [(metric, comparison) for metric in METRICS for comparison in COMPARISONS]


def asked(metric: str, comparison: str, **changes):
    """A protocol with both arms, a comparator and two readers, whose primary endpoint is this pair."""
    sessions = ("blinded", "ai_assisted", "blinded")
    return complete(
        **{
            "arms": ["blinded", "ai_assisted"], "readers": [reader("P1", "p1", sessions), reader("P2", "p2", sessions)],
            "ai": {"primary": {"name": "a", "version": "1"}, "comparators": [{"name": "b", "version": "1"}]},
            "endpoints": [{"metric": metric, "role": "primary", "comparison": comparison}],
            "non_inferiority_margin": None,
        } | changes
    )  # fmt: skip


def test_what_no_analysis_computes_cannot_be_locked_and_the_rest_is_computed():
    """Every pair of metric and comparison, against the analysis itself."""
    inputs = small(20, resamples=0)
    add_aided(inputs, "P2", 2)
    inputs["plan"]["levels"] = inputs["plan"]["levels"][:1]
    inputs["plan"]["endpoints"] = [
        {"metric": metric, "role": "secondary", "comparison": comparison, "since_version": 1}
        for metric, comparison in PAIRS
    ]
    computed = {
        (row["metric"], row["comparison"]) for row in analyse(inputs)["endpoints"] if row["estimate"] is not None
    }
    lockable = {pair for pair in PAIRS if lock_problems(asked(*pair)) == []}
    assert ("intra_observer_kappa", "ai_vs_reader_mean") not in lockable
    assert lockable == computed - {("inter_observer_kappa", "ai_vs_each_reader")}, "that pair compares with no AI"


@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_a_margin_that_says_nothing_is_refused(margin):
    assert paths(lock_problems(complete(non_inferiority_margin=margin))) == ["non_inferiority_margin"]


@pytest.mark.parametrize(("metric", "comparison"), PAIRS)
def test_a_margin_needs_a_primary_endpoint_that_gives_a_verdict(metric, comparison):
    useful = comparison in ("ai_vs_reader_mean", "with_vs_without_ai") and not metric.endswith("_kappa")
    found = paths(lock_problems(asked(metric, comparison, non_inferiority_margin=0.1)))
    assert ("non_inferiority_margin" not in found) == useful


def test_a_protocol_locked_with_a_margin_of_one_can_still_be_amended():
    old = complete(non_inferiority_margin=1.0)
    assert amendment_problems(old, old | {"closes_on": "2027-01-01"}, reading_started=True) == []
    assert validate(old) == []
    better = complete(non_inferiority_margin=0.5)
    assert amendment_problems(old, better, reading_started=False) == []
    assert paths(amendment_problems(better, old, reading_started=False)) == ["non_inferiority_margin"]


@pytest.mark.parametrize(
    ("label", "sessions", "refused"),
    [
        ("Panel", 1, True), ("panel", 2, True), ("Panel 2", 1, False), ("P1-2", 1, True), ("p1-1", 1, True),
        ("P1-3", 1, False), ("P2-1", 1, False), ("starter 1", 1, True), ("starter", 1, False), ("P1b", 2, False),
    ],
)  # fmt: skip
def test_a_label_that_tables_give_to_somebody_else_is_refused(label, sessions, refused):
    """P1 has two sessions, P2 one."""
    document = complete(readers=[reader("P1", "p1", ("blinded", "blinded")), reader("P2", "p2")])
    more = document | {"readers": [*document["readers"], reader(label, "p9", ("blinded",) * sessions)]}
    assert paths(lock_problems(more)) == (["readers.3.label"] if refused else [])
    assert paths(amendment_problems(document, more, reading_started=True)) == (["readers.3.label"] if refused else [])


def test_a_custom_map_says_what_each_reference_diagnosis_is():
    classes = {"map": "custom", "names": ["ACUTE", "OTHER"], "reference_map": {"ALL": "ACUTE", "AML": "ACUTE"}}
    found = validate(complete(classes=classes))
    assert sum("Says nothing about" in problem.message for problem in found) == 3
    classes["reference_map"] |= {"CLL": "OTHER", "CML": "OTHER", "NO_LEUKEMIA": "OTHER"}
    document = complete(classes=classes)
    assert validate(document) == []
    assert reference_map(document)["CML"] == "OTHER"
    assert paths(validate(complete(classes=classes | {"reference_map": classes["reference_map"] | {"ALL": "X"}}))) == [
        "classes.reference_map.ALL"
    ]


def test_the_fixed_maps_reach_their_classes():
    three = complete(classes={"map": "three", "names": ["ACUTE", "CHRONIC", "NO_LEUKEMIA"], "reference_map": {}})
    assert reference_map(three) == {
        "ALL": "ACUTE", "AML": "ACUTE", "CLL": "CHRONIC", "CML": "CHRONIC", "NO_LEUKEMIA": "NO_LEUKEMIA",
    }  # fmt: skip
    assert validate(three) == []


def test_a_repeat_reader_needs_the_primary_session_blinded():
    document = complete(arms=["blinded", "ai_assisted"], readers=[reader("P1", "p1", ("ai_assisted", "ai_assisted"))])
    assert paths(validate(document)) == ["arms", "primary_session"]


def test_notices_warn_and_do_not_refuse():
    document = complete(washout_days=7, readers=[reader("P1", "p1", ("blinded", "blinded"))])
    assert {"washout_days", "readers", "images_per_case"} <= set(paths(notices(document)))
    assert validate(document) == []


def test_a_readers_rules_hold_no_case_no_other_reader_and_no_ai():
    document = complete(cases={"cohort": "SECRET-C", "patients": ["SECRET-P"], "training": ["SECRET-T"]})
    text = json.dumps(reader_rules(document))
    assert "SECRET" not in text
    assert not {"readers", "cases", "ai", "endpoints", "planning", "analysis", "order_seed"} & set(
        reader_rules(document)
    )
    assert "starter" not in text
    assert "p2" not in text


@settings(max_examples=40, deadline=None)
@given(documents, st.integers(0, 10**6))
def test_one_changed_character_is_named(document, seed):
    """Any one letter of any one text, changed by any amount, is found, by its path, and moves the hash."""
    choice = random.Random(seed)
    texts = [path for path, value in leaves(document) if isinstance(value, str) and value.isalpha() and value.isascii()]
    free = [
        path for path in texts if path[0] in ("title", "question", "consent", "instructions") or path[0] == "readers"
    ]
    free = [
        path for path in free if path[-1] in ("title", "question", "consent", "instructions", "specialty", "training")
    ]
    if not free:
        return
    path = choice.choice(free)
    other = copy.deepcopy(document)
    target = other
    for key in path[:-1]:
        target = target[key]
    word = target[path[-1]]
    at = choice.randrange(len(word))
    target[path[-1]] = word[:at] + ("b" if word[at] != "b" else "c") + word[at + 1 :]
    changes = diff(document, other)
    assert len(changes) == 1
    assert changes[0].path.startswith(str(path[0]))
    assert changes[0].path.endswith(str(path[-1]))
    assert (changes[0].old, changes[0].new) == (word, target[path[-1]])
    assert protocol_sha256(document) != protocol_sha256(other)


@settings(max_examples=20, deadline=None)
@given(documents, documents)
def test_no_difference_means_the_same_hash_and_the_other_way_round(one, other):
    assert diff(one, one) == []
    assert (diff(one, other) == []) == (protocol_sha256(one) == protocol_sha256(other))


def test_differences_name_readers_and_patients():
    old = complete(cases={"cohort": "External", "patients": ["A", "B"], "training": []})
    new = copy.deepcopy(old)
    new["readers"][1]["years"] = 12
    new["readers"].append(reader("P4", "p4"))
    new["cases"]["patients"] = ["B", "C"]
    found = {change.path: (change.old, change.new) for change in diff(old, new)}
    assert found.pop("readers.P4")[0] == ABSENT
    assert found == {
        "readers.P2.years": (10, 12), "cases.patients.A": ("A", ABSENT), "cases.patients.C": (ABSENT, "C"),
    }  # fmt: skip
    assert str(diff(old, complete(**(old | {"title": "X"})))[0]) == "title: 'Leukemia on smears' -> 'X'"


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize(
    ("path", "value", "before", "during"),
    [
        ("closes_on", "2027-01-01", True, True),
        ("readers.1.years", 11, True, True),
        ("readers.1.specialty", "Other", True, True),
        ("readers.1.username", "someone", False, False),
        ("readers.1.sessions", ["blinded"], False, False),
        ("instructions", "Other words", True, False),
        ("washout_days", 28, True, False),
        ("non_inferiority_margin", 0.2, True, False),
        ("endpoints.1.metric", "accuracy", True, False),
        ("classes.map", "three", False, False),
        ("cases.cohort", "Another", False, False),
        ("order_seed", 2, False, False),
        ("images_per_case.seed", 2, False, False),
    ],
)
def test_what_an_amendment_may_change(path, value, before, during, started):
    found = amendment_problems(complete(), changed(path, value), reading_started=started)
    assert (found == []) == (during if started else before), found


@pytest.mark.parametrize("label", ["P4", "Dr. A", "A.username"])
def test_a_reader_may_be_added_but_not_taken_out_while_reading(label):
    """Whatever dots a label has: it is one name on the way to what changed."""
    old = complete(readers=[*complete()["readers"], reader("A", "p5")])
    added = complete(readers=[*old["readers"], reader(label, "p4")])
    assert amendment_problems(old, added, reading_started=True) == []
    assert [p.message for p in amendment_problems(added, old, reading_started=False)] == [
        "A reader cannot be taken out."
    ]
    for change, started, may in (
        ({"years": 3}, True, True), ({"username": "p9"}, False, False), ({"sessions": ["ai_assisted"]}, False, False),
    ):  # fmt: skip
        other = complete(readers=[*old["readers"], reader(label, "p4") | change])
        assert (amendment_problems(added, other, reading_started=started) == []) == may
    assert str(diff(old, added)[0]).startswith(f"readers.{label}: (absent)")


@pytest.mark.parametrize(
    ("sessions", "wanted", "taken"),
    [
        (["blinded"], 1, 1), (["blinded", "blinded"], 2, 2), (["blinded", "ai_assisted"], 1, 1),
        (["ai_assisted", "blinded"], 1, 2), (["ai_assisted", "blinded"], 2, 2), (["blinded", "ai_assisted"], 2, 1),
        (["ai_assisted"], 1, None), (["blinded"], 2, None), ([], 1, None),
    ],
)  # fmt: skip
def test_the_main_analysis_takes_a_blinded_session_of_both_halves_of_a_crossover(
    sessions: list[str], wanted: int, taken: int | None
) -> None:
    assert primary_number(sessions, wanted) == taken


def test_a_crossover_is_lockable_and_asked_whether_its_order_is_balanced() -> None:
    first, then = ("blinded", "ai_assisted"), ("ai_assisted", "blinded")
    ends = [{"metric": "accuracy", "role": "primary", "comparison": "with_vs_without_ai"}]
    readers = [reader("P1", "p1", first), reader("P2", "p2", then)]
    balanced = complete(arms=["blinded", "ai_assisted"], readers=readers, endpoints=ends)
    assert validate(balanced) == []
    assert "same order" not in " ".join(map(str, notices(balanced)))
    unbalanced = balanced | {"readers": [reader("P1", "p1", first), reader("P2", "p2", first)]}
    assert "Everybody reads in the same order with and without the AI" in " ".join(map(str, notices(unbalanced)))
