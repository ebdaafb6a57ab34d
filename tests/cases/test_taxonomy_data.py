"""Taxonomies as data: what is refused, what a new label needs."""

from __future__ import annotations

from typing import Any

import pytest

from cases.taxonomy import LABELS, MAPS
from cases.taxonomy_data import BadTaxonomy, missing_in_maps, paper_taxonomy, read_taxonomy, readable_on

MDS = {"name": "MDS", "title": "Myelodysplastic syndrome", "code": "MD", "colour": "#f0e442", "key": "8"}


def paper() -> tuple[list[dict[str, str]], dict[str, Any]]:
    data = paper_taxonomy()
    return data.labels_json(), data.maps_json()


def test_the_paper_written_down_is_the_paper() -> None:
    data = paper_taxonomy()
    assert data.names == LABELS
    assert [label.key for label in data.labels] == list("1234567")
    assert {name: one.classes for name, one in data.maps.items()} == {n: m.classes for n, m in MAPS.items()}
    assert data.maps["five"]("APML") == "AML"
    assert data.sha256 == paper_taxonomy().sha256


def test_a_new_label_shows_which_maps_must_be_extended() -> None:
    labels, maps = paper()
    assert missing_in_maps([*LABELS, "MDS"], maps) == {name: ["MDS"] for name in MAPS}
    with pytest.raises(BadTaxonomy, match="map five: MDS; map four: MDS; map three: MDS; map two: MDS"):
        read_taxonomy([*labels, MDS], maps, version=2)


def test_a_new_label_with_all_maps_extended() -> None:
    labels, maps = paper()
    for name, target in {"five": "MDS", "four": "CHRONIC", "three": "CHRONIC", "two": "LEUKEMIA"}.items():
        maps[name]["by_label"]["MDS"] = target
    data = read_taxonomy([*labels, MDS], maps, version=2)
    assert data.maps["five"].classes == ("ALL", "AML", "CLL", "CML", "NO_LEUKEMIA", "MDS")
    assert data.maps["three"]("MDS") == "CHRONIC"
    assert data.maps["three"].version == 2
    assert data.labels[-1].colour == "#F0E442"
    assert data.sha256 != paper_taxonomy().sha256


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "mds"}, "cannot be the name of a label"),
        ({"name": "EXCLUDE"}, "cannot be the name of a label"),
        ({"title": ""}, "needs a title"),
        ({"code": "M"}, "2 or 3 capitals"),
        ({"colour": "red"}, "#RRGGBB"),
        ({"key": "0"}, "sorting key"),
        ({"key": "x"}, "sorting key"),
        ({"key": "1"}, "Two labels have the key '1'"),
        ({"code": "AM"}, "Two labels have the code 'AM'"),
        ({"name": "AML"}, "Two labels have the name 'AML'"),
    ],
)
def test_a_bad_label_is_named(change: dict[str, str], words: str) -> None:
    labels, maps = paper()
    with pytest.raises(BadTaxonomy) as caught:
        read_taxonomy([*labels, {**MDS, **change}], maps, version=2)
    assert words in caught.value.message + caught.value.hint


def test_a_map_that_names_nothing_or_too_much_is_refused() -> None:
    labels, maps = paper()
    with pytest.raises(BadTaxonomy, match="the label MDS, which"):
        maps["five"]["by_label"]["MDS"] = "AML"
        read_taxonomy(labels, maps, version=2)
    with pytest.raises(BadTaxonomy, match="at least 2"):
        read_taxonomy(labels, {"one": {"by_label": dict.fromkeys(LABELS, "ANY")}}, version=2)


def test_text_on_a_colour_can_be_read() -> None:
    assert (readable_on("#FFFFFF"), readable_on("#000000"), readable_on("#0072B2")) == ("#000000", "#FFFFFF", "#FFFFFF")
