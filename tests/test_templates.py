"""What the security policy and the house rules forbid in templates, and the contracts of the shared fragments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.template.loader import render_to_string

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = sorted(path for path in (ROOT / "templates").rglob("*.html"))
FORBIDDEN = {
    r"<style": "inline style sheet",
    r"\sstyle\s*=": "inline style",
    r"\son[a-z]+\s*=\s*[\"']": "inline event handler",
    r"<script(?![^>]*(?:\bsrc=|type=\"application/json\"))": "inline script",
    r"javascript:": "script address",
    r"\|\s*safe\b|\{%\s*autoescape\s+off": "unescaped text",
    r"(?:src|href)=\"(?:https?:)?//": "a file from elsewhere",
    r"hx-on|hx-vals='js:": "evaluated htmx attribute",
}
SAID_OTHERWISE = {  # decision 0050
    r"\|(date|time)\b": "a day or time that is not printed by |when, |when_seconds, |clock or |day",
    r"default(_if_none)?:\"(–|—)\"|>(–|—)<": "what is not defined is a plain '-'",
    r"\|floatformat:\d \}\} to \{\{": "an estimate with its interval that is not printed by |estimate",
    r"\}\} (cases|overlaps|epochs)\b": "a count that is not printed by |counted, which knows one from many",
}
SAYS_CASE_IS = "_instructions.html"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(ROOT / "templates").as_posix())
def test_templates_hold_nothing_that_the_policy_blocks(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = [name for pattern, name in FORBIDDEN.items() if re.search(pattern, text)]
    assert found == []


def test_the_rules_catch_planted_violations() -> None:
    planted = [
        "<style>", '<p style="color:red">', '<a onclick="go()">', "<script>go()</script>", '<a href="javascript:go()">',
        "{{ name|safe }}", '<img src="https://example.org/a.png">', '<p hx-on:click="go()">',
    ]  # fmt: skip
    for pattern, text in zip(FORBIDDEN, planted, strict=True):
        assert re.search(pattern, text), text
    for allowed in ('<script src="a.js"></script>', '<script type="application/json">{}</script>', '<a href="/">'):
        assert not [pattern for pattern in FORBIDDEN if re.search(pattern, allowed)], allowed


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(ROOT / "templates").as_posix())
def test_days_times_estimates_and_counts_have_one_form(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.name == SAYS_CASE_IS:
        text = text.replace("{% if n_training == 1 %}case is{% else %}{{ n_training }} cases are{% endif %}", "")
    assert [advice for pattern, advice in SAID_OTHERWISE.items() if re.search(pattern, text)] == []


def test_what_the_reading_board_hides_on_a_phone_stands_below_the_answer() -> None:
    css = (ROOT / "leukoweb/static/leukoweb/css/reading_board.css").read_text("utf-8")
    (hidden,) = re.findall(r"\.desk-how, \.desk-bar :is\((.+)\) \{ display: none", css)
    board = (ROOT / "templates/reader_study/reading_board.html").read_text("utf-8")
    (below,) = re.findall(r'class="desk-more">(.+)</div>', board)
    action = re.compile(r'data-action="([\w-]+)"')
    assert {*action.findall(below)} == {*action.findall(hidden), "instructions"}


SIGNS_OUT = re.compile(r"<form\b[^>]*account_logout[^>]*>")
SAYS_WHAT_WAITS = "account/logout.html"  # the page where the warning stands


def test_whoever_signs_out_is_first_told_what_only_this_browser_has() -> None:
    found = {
        path.relative_to(ROOT / "templates").as_posix(): SIGNS_OUT.findall(path.read_text("utf-8"))
        for path in TEMPLATES
    }
    assert "data-waiting" in (ROOT / "templates" / SAYS_WHAT_WAITS).read_text("utf-8")
    assert found.pop(SAYS_WHAT_WAITS)
    forms = {name: form for name, all_of in found.items() for form in all_of}
    assert len(forms) >= 3, "the header, the locked desk and its dialog"
    assert [name for name, form in forms.items() if "data-signs-out" not in form] == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("status", "polls", "words"),
    [
        ("queued", True, "Waiting for its turn"),
        ("running", True, "17 of 42 images"),
        ("done", False, "42 images"),
        ("failed", False, "The file is gone."),
        ("cancelled", False, "Stopped by request"),
    ],
)
def test_the_job_fragment_polls_only_while_the_job_is_unfinished(status: str, polls: bool, words: str) -> None:
    from leukoweb.core.models import Job

    job: Any = Job(
        title="Diagnose", status=status, total_units=42, done_units=17, unit="images", error="The file is gone."
    )
    job.save()
    html = render_to_string("core/_job_progress.html", {"job": job})
    assert ("hx-get" in html) is polls
    assert words in html


def test_tables_that_scroll_can_be_scrolled_by_keyboard() -> None:
    """axe sees it only where a table happens to be wider than the page."""
    scrolls = re.compile(r'<\w+\b[^>]*\bclass="[^"]*\btable-responsive\b[^>]*>')
    planted = '<div class="panel table-responsive mt-3">', '<section id="a" class="table-responsive panel">'
    assert all(scrolls.search(tag) for tag in planted), "other classes beside it hide nothing"
    for path in TEMPLATES:
        for tag in scrolls.findall(path.read_text(encoding="utf-8")):
            assert 'tabindex="0"' in tag, f"{path.name}: {tag}"
            assert "aria-label" in tag, f"{path.name}: {tag}"


def test_a_group_of_boxes_is_named_by_its_legend() -> None:
    """A label for nothing names nothing: who uses a screen reader hears boxes of people, but not for what."""
    from django import forms

    class Some(forms.Form):
        sorters = forms.MultipleChoiceField(
            choices=[("a", "Anna")], widget=forms.CheckboxSelectMultiple, help_text="Each gets a queue."
        )
        rule = forms.ChoiceField(choices=[("a", "any")], widget=forms.RadioSelect)
        name = forms.CharField()

    html = render_to_string("cases/_form_fields.html", {"form": Some()})
    assert 'for=""' not in html
    assert re.findall(r'<legend class="field-legend">(.*?)</legend>', html) == ["Sorters", "Rule"]
    assert '<fieldset class="field" aria-describedby="id_sorters_helptext">' in html
    assert html.count("<fieldset") == html.count("</fieldset>") == 2
    assert html.count("<div") == html.count("</div>")
    assert '<label for="id_name">Name</label>' in html


FIELDS = (
    "cohort_list",
    "cohort_detail",
    "patient_detail",
    "slide_detail",
    "slide_review",
    "slide_reviews",
    "slide_fill",
    "images_move",
    "image_remove",
)
"""Pages of slides, which have fields (docs/architecture.md, "Words"). A file that is uploaded is still an image."""
GONE = {"cases/curation_home.html": '<th scope="col">Field</th>', "core/_header.html": ">Slides</a>"}


def words_of(text: str) -> str:
    """What of a template people see or hear."""
    plain = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", " ", text, flags=re.DOTALL)
    heard = re.findall(r'(?:alt|title|aria-label)="([^"]*)"', plain)
    return " ".join([re.sub(r"<[^>]*>", " ", plain), *heard])


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_a_slide_is_called_a_field(name: str) -> None:
    text = words_of((ROOT / "templates/cases" / f"{name}.html").read_text(encoding="utf-8"))
    assert re.findall(r"(?i)[^.]{0,20}\bimages?\b", re.sub("Upload images|folder of images", "", text)) == []


def test_words_that_were_given_up_stay_away() -> None:
    assert "image" in words_of('<img alt="An image">{% if images %}<p>field</p>{% endif %}')
    assert "image" not in words_of(
        '{% if images %}<p class="image" title="Field {{ image.position }}">field</p>{% endif %}'
    )
    for name, words in GONE.items():
        assert words not in (ROOT / "templates" / name).read_text(encoding="utf-8"), name
