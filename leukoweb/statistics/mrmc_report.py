"""The report of a multi-reader study: which endpoints, for which readers, and how it looks as text and as
rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from leukoweb.statistics.covariance import AucCovariance
from leukoweb.statistics.intervals import check_level
from leukoweb.statistics.mrmc import (
    AiVersusReaders,
    ai_versus_readers,
    ai_versus_readers_auc,
    analyse_auc,
    analyse_proportion,
    analysis_as_dict,
)
from leukoweb.statistics.mrmc_table import MrmcTable
from leukoweb.statistics.results import StatisticsError
from leukoweb.statistics.ustatistics import u_statistic

ROW_HEADER = ("endpoint", "design", "what", "estimate", "se", "statistic", "df", "p", "low", "high")


def mrmc_report(
    table: MrmcTable,
    *,
    positive_from: float | None = None,
    covariance: AucCovariance = "delong",
    margin: float | None = None,
    level: float = 0.95,
) -> dict[str, Any]:
    """Analyse all endpoints of a study; JSON-ready, one key per endpoint.

    ``auc`` always; ``sensitivity`` and ``specificity`` where ``positive_from`` says which scores are positive
    (score >= it). A table with an AI column gives the AI against its readers, otherwise modalities are
    compared. Cases with a missing score are left out and counted in ``n_dropped``.

    Errors: StatisticsError without a positive or without a negative case, for a level or margin outside 0 to 1, a
    margin without an AI, or a threshold that is no finite number.
    """
    check_level(level)
    if margin is not None and (table.ai is None or not 0 < margin < 1):
        raise StatisticsError(
            f"The margin {margin:g} cannot be used: it must lie between 0 and 1 and needs an AI column.",
            code="E_MARGIN",
            field="margin",
            hint="Name the AI's column with --ai.",
        )
    if positive_from is not None and not np.isfinite(positive_from):
        raise StatisticsError(
            f"The threshold must be a finite number, not {positive_from}.", code="E_THRESHOLD", field="positive_from"
        )
    whole, dropped = table.complete()
    n_positive = int(whole.truth.sum())
    if n_positive in (0, len(whole.truth)):
        raise StatisticsError(
            f"Of {len(whole.truth)} complete cases {n_positive} are positive; both kinds are needed.",
            code="E_ONE_GROUP",
            field="truth",
            hint="Check --truth-positive and the missing scores.",
        )
    report = {"auc": _auc(whole, covariance, margin, level)}
    if positive_from is not None:
        report["sensitivity"] = _proportion(whole, True, positive_from, margin, level)
        report["specificity"] = _proportion(whole, False, positive_from, margin, level)
    for endpoint in report.values():
        endpoint |= {
            "n_positive": n_positive,
            "n_negative": len(whole.truth) - n_positive,
            "n_dropped": dropped,
        }
    return report


def _auc(table: MrmcTable, covariance: AucCovariance, margin: float | None, level: float) -> dict[str, Any]:
    if table.ai is not None:
        comparison = ai_versus_readers_auc(
            table.truth,
            table.ai,
            table.scores[0].T,
            margin,
            level,
            covariance=covariance,
            clusters=table.clusters,
        )
        return _ai_as_dict(comparison, table)
    return analysis_as_dict(
        analyse_auc(
            table.truth,
            table.scores,
            modalities=table.modalities,
            readers=table.readers,
            covariance=covariance,
            clusters=table.clusters,
            level=level,
        )
    )


def _proportion(
    table: MrmcTable, positive: bool, positive_from: float, margin: float | None, level: float
) -> dict[str, Any]:
    group = table.truth == positive
    clusters = None if table.clusters is None else np.array(table.clusters)[group]
    correct = ((table.scores[:, :, group] >= positive_from) == positive).astype(float)
    if table.ai is not None:
        ai = ((table.ai[group] >= positive_from) == positive).astype(float)
        return _ai_as_dict(ai_versus_readers(ai, correct[0].T, margin, level, clusters=clusters), table)
    out = analysis_as_dict(
        analyse_proportion(correct, modalities=table.modalities, readers=table.readers, clusters=clusters, level=level)
    )
    if len(table.modalities) == 2 and clusters is None:
        # A second route to the same variance, without any assumption on its components.
        out["u_statistic"] = u_statistic(correct[0].T, correct[1].T, level=level).as_dict()
    return out


def _ai_as_dict(comparison: AiVersusReaders, table: MrmcTable) -> dict[str, Any]:
    plain = comparison.as_dict()
    tested = plain["se"] and plain["p"] is not None
    modalities = {
        "ai": {"name": "ai", "estimate": plain["ai"]},
        "readers": {"name": "readers", "estimate": plain["readers_mean"]},
    }
    return {
        "modalities": modalities,
        "difference": plain["difference"],
        "se": plain["se"],
        "F": (plain["difference"] / plain["se"]) ** 2 if tested else None,
        **{key: plain[key] for key in ("df", "p", "low", "high")},
        **plain,
        "readers": dict(zip(table.readers, plain["readers"], strict=True)),
    }


def report_rows(report: dict[str, Any]) -> list[tuple[Any, ...]]:
    """One row per estimate, under ``ROW_HEADER``; None where there is no number."""
    rows: list[tuple[Any, ...]] = []
    for endpoint, found in report.items():
        designs = [("random readers and cases", found)]
        designs += [(name.replace("_", " "), found[name]) for name in ("fixed_readers", "fixed_cases") if name in found]
        for design, part in designs:
            for name, mean in part["modalities"].items():
                rows.append(_row(endpoint, design, name, mean))
            if "differences" in part:
                rows += [_row(endpoint, design, f"{d['first']} - {d['second']}", d) for d in part["differences"]]
                what = "all modalities equal (F)"
                rows.append((endpoint, design, what, None, None, part["F"], part["df"], part["p"], None, None))
            else:
                rows.append(_row(endpoint, design, "ai - readers", part | {"estimate": part["difference"]}))
                fixed = {key: part[f"fixed_{key}"] for key in ("se", "low", "high")}
                what = "ai - readers"
                rows.append(_row(endpoint, "these readers", what, fixed | {"estimate": part["difference"]}))
    return rows


def _row(endpoint: str, design: str, what: str, found: dict[str, Any]) -> tuple[Any, ...]:
    keys = ("estimate", "se", "statistic", "df", "p", "low", "high")
    return (endpoint, design, what, *(found.get(key) for key in keys))


def report_text(report: dict[str, Any]) -> str:
    """The rows as an aligned table, with what was analysed above each endpoint."""
    lines: list[str] = []
    rows = report_rows(report)
    width = max(len(f"{row[1]}: {row[2]}") for row in rows)
    for endpoint, found in report.items():
        dropped = f", {found['n_dropped']} left out for a missing score" if found["n_dropped"] else ""
        lines.append(
            f"{endpoint}: {found['n_positive']} positive and {found['n_negative']} negative cases{dropped}, "
            f"{found['n_readers']} readers, level {found['level']:g}"
        )
        lines.append(f"  {'':{width}}" + "".join(f"{name:>10}" for name in ROW_HEADER[3:]))
        for row in rows:
            if row[0] == endpoint:
                lines.append(f"  {f'{row[1]}: {row[2]}':{width}}" + "".join(_cell(value) for value in row[3:]))
        if found.get("margin") is not None:
            verdict = {True: "shown", False: "not shown", None: "cannot be judged"}[found["non_inferior"]]
            lines.append(f"  Non-inferiority of the AI at a margin of {found['margin']:g}: {verdict}.")
        if found.get("note"):
            lines.append(f"  Note: {found['note']}")
        lines.append("")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    if value is None:
        return f"{'-':>10}"
    return f"{value:>10.4f}" if abs(value) < 10_000 else f"{value:>10.3g}"
