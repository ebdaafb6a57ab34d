"""Help says how each role works and what the words mean; its examples are computed anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from leukoweb.core.glossary import GROUPS, HEADINGS, WORDS
from leukoweb.core.help_steps import STEPS
from leukoweb.core.models import Role, User
from leukoweb.core.permissions import ACTIONS
from leukoweb.core.templatetags.words import term
from leukoweb.statistics.agreement import cohen_kappa, pabak, positive_agreement
from leukoweb.statistics.intervals import proportion
from leukoweb.statistics.paired import holm, mcnemar
from leukoweb.statistics.ratings_report import p_text, printed
from reader_study.selectors.confounders import cramers_v

TEMPLATES = Path(__file__).parents[2] / "templates"


@pytest.mark.django_db
@pytest.mark.parametrize("role", list(Role))
def test_each_step_leads_to_a_page_that_the_role_may_open(as_role: Any, role: Role) -> None:
    client = as_role(role)
    page = client.get("/help/").content.decode()
    for step in STEPS[role]:
        assert role in ACTIONS[step.action][1], step
        address = reverse(step.page)
        assert f'<a href="{address}">{step.title}</a>' in page
        assert client.get(address).status_code == 200, step
    for other, steps in STEPS.items():
        if other != role:
            assert f"<summary>{other.label}</summary>" in page
            assert all(step.text.replace("'", "&#x27;") in page for step in steps)


@pytest.mark.django_db
def test_help_is_for_people_and_looks_at_nothing_of_a_study(as_role: Any, client: Client) -> None:
    assert client.get("/help/").status_code == client.get("/help/words/").status_code == 302
    reader = as_role("pathologist")
    for address in ("/help/", "/help/words/"):
        with CaptureQueriesContext(connection) as queries:
            page = reader.get(address)
        assert page.status_code == 200
        tables = {name for query in queries for name in re.findall(r'(?:FROM|JOIN|INTO|UPDATE) "(\w+)"', query["sql"])}
        assert tables <= {"django_session", User._meta.db_table, "mfa_authenticator"}
    home = reader.get("/").content.decode()
    assert 'href="/help/"' in home
    assert 'href="/help/words/"' in home


@pytest.mark.django_db
def test_every_word_has_its_anchor(as_role: Any) -> None:
    assert len(WORDS) == sum(len(words) for _, words in GROUPS)
    page = as_role("technician").get("/help/words/").content.decode()
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(WORDS) <= set(ids)
    assert set(re.findall(r'href="#([^"]+)"', page)) <= {*ids, "main"}
    for word in WORDS.values():
        assert re.match(r"[A-Z0-9].*[.?]$", word.text), word.key
        assert word.text.count(". ") in (0, 1, 2), f"{word.key} is to be said in two sentences or three"


def test_headings_that_templates_explain_are_in_the_glossary() -> None:
    asked = {
        name
        for path in TEMPLATES.rglob("*.html")
        for name in re.findall(r'\{\{ "([^"]+)"\|term \}\}', path.read_text(encoding="utf-8"))
    }
    assert len(asked) > 15
    assert [name for name in asked if name.lower() not in HEADINGS] == []
    assert term("Cohen's kappa") == '<a class="term" href="/help/words/#kappa">Cohen&#x27;s kappa</a>'
    assert term("Notes <b>") == "Notes <b>", "which the template escapes"


def said(key: str, *numbers: str) -> None:
    for number in numbers:
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", WORDS[key].example), (key, number)


def test_the_numbers_of_the_examples_are_right() -> None:
    for key, right, n in (("sensitivity", 18, 20), ("specificity", 42, 44), ("ppv", 18, 20), ("npv", 42, 44)):
        said(key, f"{right} / {n} = {printed(right / n)}")
    exact, few, many = proportion(45, 64), proportion(18, 20), proportion(180, 200)
    said("accuracy", f"45 / 64 = {printed(45 / 64)}", f"{printed(exact.low)} to {printed(exact.high)}")
    said("interval", *(f"{printed(e.low)} to {printed(e.high)}" for e in (few, many)))
    said("f1", f"36 / (36 + 2 + 2) = {printed(36 / 40)}")
    said("macro", printed((0.9 + 0.8 + 0.4) / 3))
    kappa = cohen_kappa([[20, 5], [4, 21]])
    said("kappa", printed(kappa.observed), printed(kappa.expected), f"= {printed(kappa.result.estimate)}")
    said("agreement", printed(41 / 50))
    rare = [[45, 2], [2, 1]]
    found = cohen_kappa(rare)
    said("pabak", printed(found.observed), printed(found.result.estimate), printed(float(pabak(rare))))
    said("positive-agreement", printed(positive_agreement([[9, 3], [1, 20]])[0].estimate))
    said("mcnemar", *(p_text(mcnemar(9, 2, method=method).p) for method in ("exact", "mid-p")))
    said("holm", *(p_text(float(p)) for p in holm([0.01, 0.03, 0.04])))
    said("cramers-v", printed(cramers_v([[18, 2], [4, 16]])))
    said("gate", f"{printed(100 * (1 - 1 / 69) ** 33, 0)} %")
