"""One form for days, times, estimates and counts on all pages."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.template import Context, Template
from django.utils import timezone

from leukoweb.core import words
from leukoweb.core.zones import zone_name
from leukoweb.statistics.results import Estimate

AT = datetime(2026, 7, 26, 22, 30, 5, tzinfo=UTC)


def shown(text: str, **values: object) -> str:
    return Template(text).render(Context(values))


def test_a_time_is_iso_and_names_its_zone() -> None:
    assert shown("{{ at|when }}", at=AT) == '<time datetime="2026-07-26T22:30:05+00:00">2026-07-26 22:30 UTC</time>'
    assert shown("{{ at|when_seconds }}", at=AT).endswith(">2026-07-26 22:30:05 UTC</time>")
    assert shown("{{ at|clock }}", at=AT).endswith(">22:30:05 UTC</time>")
    assert shown("{{ at|day }}", at=date(2026, 7, 26)) == '<time datetime="2026-07-26">2026-07-26</time>'
    assert shown("{{ at|when_text }}", at=AT) == "2026-07-26 22:30 UTC"


@pytest.mark.parametrize(
    ("zone", "when"), [("Europe/Berlin", "2026-07-27 00:30 CEST"), ("America/Sao_Paulo", "2026-07-26 19:30 UTC-03")]
)
def test_the_zone_of_the_installation_is_honoured_and_named(zone: str, when: str) -> None:
    with timezone.override(zone):
        assert words.when_text(AT) == when
        assert shown("{{ at|day }}", at=AT) == f'<time datetime="{when[:10]}">{when[:10]}</time>'


def test_a_zone_that_nobody_knows_is_refused_by_name() -> None:
    assert zone_name("Europe/Berlin") == "Europe/Berlin"
    for wrong in ("Berlin", "Europe", "../etc/passwd"):
        with pytest.raises(ImproperlyConfigured, match=wrong):
            zone_name(wrong)


def test_what_is_not_there_is_a_dash_or_what_the_page_says() -> None:
    given = shown(
        '{{ x|when }} {{ x|day }} {{ x|when:"never" }} {{ x|number:2 }} {{ x|estimate }} {{ x|p_value }}', x=None
    )
    assert given == "- - never - - -"
    assert shown("{{ x|number:2 }}", x=float("nan")) == "-"


def test_an_estimate_and_its_interval_have_two_decimals_half_up() -> None:
    found = {"estimate": 0.625, "low": 0.5, "high": 0.7449}
    assert shown("{{ e|estimate }}", e=found) == '0.63 <span class="interval">(0.50 to 0.74)</span>'
    same = Estimate(0.625, 0.5, 0.7449, "bca", 10)
    assert shown("{{ e|estimate }}", e=same) == shown("{{ e|estimate }}", e=found)
    assert "(no interval)" in shown("{{ e|estimate }}", e={"estimate": 0.5, "low": None, "high": None})
    undefined = Estimate.undefined(0, "no image that both decided")
    assert shown("{{ e|estimate }}", e=undefined) == '- <span class="interval">(no image that both decided)</span>'
    assert shown("{{ p|p_value }} {{ q|p_value }}", p=0.0002, q=0.0125) == "&lt;0.001 0.013"


def test_how_long_something_took_without_seconds() -> None:
    start = datetime(2026, 11, 26, tzinfo=UTC)
    for told, seconds in {"less than a minute": 59, "1 minute": 119, "3 hours": 14399, "3 days": 259200}.items():
        assert shown("{{ a|lasted:b }}", a=start, b=start + timedelta(seconds=seconds)) == told
    assert shown("{{ a|lasted }}", a=timezone.now()) == "less than a minute"


def test_one_is_not_many() -> None:
    assert shown('{{ n|counted:"case" }}, {{ m|counted:"box,boxes" }}', n=1, m=2) == "1 case, 2 boxes"
