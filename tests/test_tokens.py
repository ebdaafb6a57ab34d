"""Colours of the tokens keep their contrast in every theme: 4.5 for text, 3 for edges of controls (WCAG 2.2)."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

CSS = Path(__file__).resolve().parents[1] / "leukoweb" / "static" / "leukoweb" / "css"
THEMES = {
    "light": ':root, [data-bs-theme="light"] {',
    "dark": '[data-bs-theme="dark"] {',
    "neutral": '[data-surround="neutral"] {',
}
GROUNDS = ("page-bg", "surface", "surface-2")
TEXTS_BY_GROUND = [
    *product(("ink", "ink-2", "accent", "good", "bad", "warn"), GROUNDS),
    ("accent-ink", "accent"),
    ("accent-ink", "accent-hover"),
    ("ink", "accent-soft"),
    *((ink, f"{state}-soft") for state in ("good", "warn", "bad") for ink in ("ink", state)),
    ("stage-ink", "stage"),
]
EDGES_BY_GROUND = [*product(("line-strong", "focus"), GROUNDS)]


def tokens(theme: str) -> dict[str, str]:
    """Name -> #rrggbb of the block that defines this theme's colours."""
    text = (CSS / "tokens.css").read_text(encoding="utf-8")
    start = text.index("\n" + THEMES[theme])
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", text[start : text.index("}", start)]))


def luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour, WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_of_black_on_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", THEMES)
def test_colours_keep_their_contrast(theme: str) -> None:
    value = tokens(theme)
    low = [
        f"{front} on {ground}: {contrast(value[front], value[ground]):.2f}, at least {least} is needed"
        for pairs, least in ((TEXTS_BY_GROUND, 4.5), (EDGES_BY_GROUND, 3.0))
        for front, ground in pairs
        if contrast(value[front], value[ground]) < least
    ]
    assert low == []


def test_the_neutral_theme_has_no_tint_behind_images() -> None:
    value = tokens("neutral")
    for name in (*GROUNDS, "stage", "accent-soft", "line", "line-strong"):
        assert len({value[name][i : i + 2] for i in (1, 3, 5)}) == 1, name


def test_pages_take_colours_from_the_tokens_only() -> None:
    allowed = {
        "#ffffff",
        "#1f7fb0",
        "#2b2b2b",
    }  # ground of a QR code; ticks of check boxes, which Bootstrap draws white
    for name in ("base", "layout", "components", "viewer"):
        lines = (CSS / f"{name}.css").read_text(encoding="utf-8").splitlines()
        own = [line for line in lines if not line.startswith("[data-viewer-surround")]  # the stage's three surrounds
        assert set(re.findall(r"#(?:[0-9a-fA-F]{8}|[0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b", "\n".join(own))) <= allowed, name
