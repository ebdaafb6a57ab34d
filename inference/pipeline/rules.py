"""Rule sets are data: validated, versioned, hashed, and the same on disk, in the database and in a trace."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from inference.pipeline.errors import RuleSetInvalid
from leukoweb.core.numbers import is_number

Measure = Literal["count", "fraction", "probability"]
Voters = Literal["all", "leukemia"]
Kind = Literal["hierarchical", "majority"]

MEASURES: Final = ("count", "fraction", "probability")
VOTERS: Final = ("all", "leukemia")
STUDY_MINIMUM_IMAGES: Final = 3  # the paper excluded smears with fewer than three images
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def _require_keys(what: str, found: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    if not isinstance(found, Mapping):
        raise RuleSetInvalid(f"{what} must be an object, found {type(found).__name__}.", field=what)
    missing, unknown = sorted(set(allowed) - set(found)), sorted(set(found) - set(allowed))
    if missing or unknown:
        raise RuleSetInvalid(
            f"{what} has missing keys {missing} and unknown keys {unknown}.",
            hint=f"It has exactly: {', '.join(allowed)}.",
            field=what,
        )


def _require_choice(what: str, found: object, allowed: tuple[str, ...]) -> None:
    if found not in allowed:
        raise RuleSetInvalid(f"{what} is {found!r}; allowed are {', '.join(allowed)}.", field=what)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A class is called for the slide when its measure over the voters is at least ``at_least``.

    ``count``: voters whose argmax is the class. ``fraction``: that count divided by the voters.
    ``probability``: the sum of the class's probability over the voters, argmax or not.
    """

    measure: Measure = "count"
    at_least: float = 1
    voters: Voters = "all"

    def __post_init__(self) -> None:
        _require_choice("measure", self.measure, MEASURES)
        _require_choice("voters", self.voters, VOTERS)
        value = self.at_least
        if not is_number(value):
            shown = f"{value!r:.40}" if not isinstance(value, int) else "too large"
            raise RuleSetInvalid(f"at_least is {shown}; it must be a finite number.", field="at_least")
        if value <= 0:
            raise RuleSetInvalid(
                f"at_least is {value}; it must be above 0, or every slide would pass.", field="at_least"
            )
        if self.measure == "count" and value != int(value):
            raise RuleSetInvalid(f"at_least is {value}; a count is a whole number.", field="at_least")
        if self.measure == "fraction" and value > 1:
            raise RuleSetInvalid(f"at_least is {value}; a fraction is at most 1.", field="at_least")
        # One number, one spelling: 1 and 1.0 must not give two hashes of the same rules.
        object.__setattr__(self, "at_least", int(value) if self.measure == "count" else float(value))

    def as_dict(self) -> dict[str, Any]:
        return {"measure": self.measure, "at_least": self.at_least, "voters": self.voters}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], what: str = "threshold") -> Threshold:
        _require_keys(what, data, ("measure", "at_least", "voters"))
        return cls(data["measure"], data["at_least"], data["voters"])


@dataclass(frozen=True, slots=True)
class SubtypeVote:
    """How the branch's two subtypes are told apart: image labels (``count``) or summed ``probability``."""

    measure: Literal["count", "probability"] = "count"
    voters: Voters = "all"

    def __post_init__(self) -> None:
        _require_choice("measure", self.measure, ("count", "probability"))
        _require_choice("voters", self.voters, VOTERS)

    def as_dict(self) -> dict[str, Any]:
        return {"measure": self.measure, "voters": self.voters}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SubtypeVote:
        _require_keys("subtype", data, ("measure", "voters"))
        return cls(data["measure"], data["voters"])


@dataclass(frozen=True, slots=True)
class RuleSet:
    """How per-image probabilities become one diagnosis.

    ``hierarchical`` has a gate (model 1, LEUKEMIA), a branch (model 2, CHRONIC) and perhaps a subtype vote
    (model 3); ``majority`` has none of them and takes one single model. Build it once, store ``as_dict()``.
    """

    name: str
    version: int = 1
    kind: Kind = "hierarchical"
    gate: Threshold | None = None
    branch: Threshold | None = None
    subtype: SubtypeVote | None = None
    minimum_images: int = STUDY_MINIMUM_IMAGES

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise RuleSetInvalid(f"name is {self.name!r}; use 1 to 64 small letters, digits and hyphens.", field="name")
        _require_choice("kind", self.kind, ("hierarchical", "majority"))
        for field in ("version", "minimum_images"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise RuleSetInvalid(f"{field} is {value!r}; it must be a whole number of at least 1.", field=field)
        if self.kind == "majority" and (self.gate or self.branch or self.subtype):
            raise RuleSetInvalid("A majority rule set has no gate, branch or subtype.", field="kind")
        if self.kind == "hierarchical" and (self.gate is None or self.branch is None):
            raise RuleSetInvalid("A hierarchical rule set needs a gate and a branch.", field="gate")
        if self.gate is not None and self.gate.voters != "all":
            raise RuleSetInvalid("The gate decides which images are leukemia, so all images vote.", field="gate")

    @property
    def slots(self) -> tuple[str, ...]:
        """Model slots that the rules read, in the order in which they are read."""
        if self.kind == "majority":
            return ("single_model",)
        return ("model_1", "model_2", "model_3") if self.subtype else ("model_1", "model_2")

    @property
    def sha256(self) -> str:
        """Identity of the rules: SHA-256 of the canonical JSON of ``as_dict()``."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "kind": self.kind,
            "gate": self.gate.as_dict() if self.gate else None,
            "branch": self.branch.as_dict() if self.branch else None,
            "subtype": self.subtype.as_dict() if self.subtype else None,
            "minimum_images": self.minimum_images,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RuleSet:
        """Inverse of ``as_dict``; raises RuleSetInvalid naming the offending key."""
        keys = ("name", "version", "kind", "gate", "branch", "subtype", "minimum_images")
        _require_keys("rule set", data, keys)
        return cls(
            name=data["name"],
            version=data["version"],
            kind=cast(Kind, data["kind"]),
            gate=None if data["gate"] is None else Threshold.from_dict(data["gate"], "gate"),
            branch=None if data["branch"] is None else Threshold.from_dict(data["branch"], "branch"),
            subtype=None if data["subtype"] is None else SubtypeVote.from_dict(data["subtype"]),
            minimum_images=data["minimum_images"],
        )


#: The rule sets of the paper (Figs. 1, 2 and 7). ADR 0100 says where the drawing of Fig. 2 left us a choice.
RULE_SETS: Final[dict[str, RuleSet]] = {
    "paper-fig1": RuleSet("paper-fig1", gate=Threshold(), branch=Threshold()),
    "paper-fig2": RuleSet("paper-fig2", gate=Threshold(), branch=Threshold(), subtype=SubtypeVote()),
    "single-model-majority": RuleSet("single-model-majority", kind="majority"),
}
DEFAULT_RULE_SET: Final = "paper-fig2"


def rule_set_named(name: str) -> RuleSet:
    """The shipped rule set of that name; RuleSetInvalid lists the known names otherwise."""
    if name not in RULE_SETS:
        raise RuleSetInvalid(f"There is no rule set {name!r}.", hint=f"Known: {', '.join(RULE_SETS)}.", field="rules")
    return RULE_SETS[name]
