"""Is the protocol in a bundle the one that was locked, and does the plan of the analysis follow from it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reader_study.analysis.canonical import canonical_json
from reader_study.analysis.plan import plan_of
from reader_study.protocol import differing, locked_sha256

Document = Mapping[str, Any]
_WHOLE = 4  # since this edition the inputs hold the documents of all versions


def protocol_differences(inputs: Document) -> list[str]:
    """What does not fit, in words; empty if all does. Never raises for what is in the inputs.

    Up to the third edition the inputs held the newest document alone, so that since which version an endpoint or a
    rule stands can be checked for protocols without an amendment only.
    """
    try:
        return list(_differences(inputs))
    except Exception as error:  # damaged inputs may break any assumption; the verdict has to say so, not to fail
        return [f"not built as a protocol ({type(error).__name__}: {error})"]


def _differences(inputs: Document) -> Iterator[str]:
    protocol, plan = inputs["protocol"], inputs["plan"]
    versions, newest = protocol["versions"], protocol["document"]
    last = versions[-1]
    if [row["version"] for row in versions] != list(range(1, len(versions) + 1)):
        yield "its versions are not numbered from 1 on"
    if (protocol["version"], protocol["sha256"]) != (last["version"], last["sha256"]):
        yield "version and SHA-256 are not those of its last version"
    if locked_sha256(newest) != last["sha256"]:
        yield "the document was changed: its SHA-256 is not the one that was signed"
    if inputs.get("edition", 1) >= _WHOLE:
        documents = [*(row["document"] for row in versions[:-1]), newest]
        yield from _earlier(versions, documents)
        expected = plan_of(documents)
    else:
        expected = plan_of([newest])
        if len(versions) > 1 or "since" not in plan:
            plan, expected = _undated(plan), _undated(expected)
        elif "ai_comparators" not in plan["since"]:  # the third edition's first bundles did not date these
            expected["since"] = {key: at for key, at in expected["since"].items() if key != "ai_comparators"}
    for key in sorted({*plan, *expected}):
        if key not in plan or key not in expected or canonical_json(plan[key]) != canonical_json(expected[key]):
            yield f"it does not lead to the plan of the analysis, which has another {key}"


def _earlier(versions: list[Document], documents: list[Document]) -> Iterator[str]:
    """Each version before the last against its hash, and what each is said to have changed against the documents."""
    for row, document in zip(versions[:-1], documents, strict=False):
        if locked_sha256(document) != row["sha256"]:
            yield f"version {row['version']} was changed: its SHA-256 is not the one that was signed"
    for row, old, new in zip(versions[1:], documents, documents[1:], strict=False):
        wanted = sorted(canonical_json(change.as_dict()) for change in differing(old, new))
        if sorted(map(canonical_json, row["changes"])) != wanted:
            yield f"version {row['version']} did not change what it is said to have changed"
    if versions[0].get("changes"):
        yield "version 1 cannot have changed anything"


def _undated(plan: Document) -> dict[str, Any]:
    """The plan without what earlier versions alone can show."""
    endpoints = [{key: value for key, value in row.items() if key != "since_version"} for row in plan["endpoints"]]
    return {key: value for key, value in plan.items() if key != "since"} | {"endpoints": endpoints}
