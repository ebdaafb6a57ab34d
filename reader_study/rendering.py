"""Figures and reports are drawn once per result and kept in the cache; without the cache they are drawn again.

Drawing is imported where it happens: a web process that only hands out what a job drew never loads matplotlib.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from inference.services.version import app_version
from leukoweb.core.files import write_whole
from reader_study.analysis_files import FILES
from reader_study.models import Analysis

REVISION = 3  # of the drawing code: a change makes old files worthless


def rendered(analysis: Analysis, name: str, make: Callable[[], bytes | None]) -> bytes | None:
    """The bytes of ``name`` for this result, from the cache or by ``make``; None if there is no such thing."""
    path = _path(analysis, name)
    try:
        return path.read_bytes()
    except OSError:
        data = make()
    if data is not None:
        _keep(path, data)
    return data


def _keep(path: Path, data: bytes) -> None:
    with contextlib.suppress(OSError):  # a full disk: then it is drawn again next time
        write_whole(path, data)


def _path(analysis: Analysis, name: str) -> Path:
    sha256 = analysis.result.result_sha256
    return Path(settings.CACHE_ROOT) / "analyses" / sha256[:2] / f"{sha256}.{app_version()}.{REVISION}.{name}"


def drawn(analysis: Analysis, result: Mapping[str, Any], key: str, kind: str) -> bytes | None:
    """A figure; None if the result has none of this key."""

    def make() -> bytes | None:
        from reader_study.report.figures import figure_bytes

        return figure_bytes(result, key, kind)

    return rendered(analysis, f"figure.{key}.{kind}", make)


def file_bytes(analysis: Analysis, name: str, result: Mapping[str, Any]) -> bytes:
    """One of ``analysis_files.FILES``; reports are kept, everything else is made anew in a moment."""

    def make() -> bytes:
        return FILES[name].make(analysis.inputs, result, lambda key: drawn(analysis, result, key, "png"))

    if not name.startswith("report."):
        return make()
    return rendered(analysis, name, make) or make()


def draw_ahead(analysis: Analysis, result: Mapping[str, Any], check: Callable[[], None]) -> None:
    """Figures for the page and both reports, so that nobody waits for them; ``check`` may stop between two."""
    from reader_study.report.figures import figure_files, figure_list

    for spec in figure_list(result):
        check()
        paths = {kind: _path(analysis, f"figure.{spec.key}.{kind}") for kind in ("svg", "png")}
        lacking = [kind for kind, path in paths.items() if not path.exists()]
        for kind, data in figure_files(result, spec.key, lacking).items():
            _keep(paths[kind], data)
    for name in ("report.pdf", "report.html"):
        check()
        file_bytes(analysis, name, result)
