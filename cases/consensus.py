"""What several people's verdicts on one image come to, by a rule that is data.

Rules
-----
``unanimous``
    Everybody who decided said the same; any difference leaves the image disputed, for good.
``majority``
    More than half of the decisions are equal; a tie is disputed until an adjudicator settles it.
``adjudicated``
    As ``unanimous``, and an adjudicator settles what is disputed. Once settled it stands, even if a sorter changes
    their mind afterwards.
``senior``
    The senior sorter's verdict counts where there is one; elsewhere as ``majority``.

"Cannot classify" and "exclude" are verdicts like a label. Several adjudicators are a panel: more than half of those
who decided. An image that too few have decided is *open*, which is not the same as disputed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from leukoweb.core.exceptions import DomainError

RULES: Final = ("unanimous", "majority", "adjudicated", "senior")
RULE_VERSION: Final = 1
LABEL, CANNOT_CLASSIFY, EXCLUDE, CLEARED = "label", "cannot_classify", "exclude", "cleared"
OPEN, DISPUTED = "open", "disputed"
VERDICTS: Final = (LABEL, CANNOT_CLASSIFY, EXCLUDE, CLEARED)
MAX_PEOPLE: Final = 20


class BadRule(DomainError):
    code = "E_CONSENSUS"


@dataclass(frozen=True)
class ConsensusRule:
    """How verdicts become one.

    Attributes
    ----------
    rule
        One of `RULES`.
    version
        Version of the meaning of the rules in this module. A stored rule of another version is refused, not guessed.
    min_decisions
        How many sorters must have decided before an image counts; 0: all who have it in their queue.
    panel_min
        How many adjudicators must have decided before an adjudication counts.
    """

    rule: str = "adjudicated"
    version: int = RULE_VERSION
    min_decisions: int = 0
    panel_min: int = 1

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise BadRule(f"{self.rule!r} is not a consensus rule.", hint=f"Use {', '.join(RULES)}.", field="rule")
        if self.version != RULE_VERSION:
            raise BadRule(
                f"The consensus rule has version {self.version!r}; this software knows version {RULE_VERSION}.",
                field="version",
            )
        for name, low in (("min_decisions", 0), ("panel_min", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= MAX_PEOPLE:
                raise BadRule(f"{name} is {value!r}; a whole number from {low} to {MAX_PEOPLE} is needed.", field=name)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ConsensusRule:
        """A rule from stored or sent JSON. Unknown keys are refused."""
        if unknown := sorted(set(data) - {"rule", "version", "min_decisions", "panel_min"}):
            raise BadRule(f"The consensus rule has the unknown setting {unknown[0]!r}.", field=unknown[0])
        return cls(**data)

    def as_dict(self) -> dict[str, Any]:
        """What is stored with a task or a dataset version."""
        return asdict(self)


@dataclass(frozen=True)
class Given:
    """One person's verdict that counts now; ``label`` is empty unless the verdict is ``label``."""

    verdict: str
    label: str = ""
    senior: bool = False

    @property
    def outcome(self) -> tuple[str, str]:
        return self.verdict, self.label


@dataclass(frozen=True)
class Consensus:
    """What an image is taken for.

    Attributes
    ----------
    label
        The agreed label; empty unless ``verdict`` is ``label``.
    verdict
        ``label``, ``cannot_classify``, ``exclude``, or ``open`` (too few decisions) or ``disputed``.
    how
        ``single``, ``unanimous``, ``majority``, ``senior``, ``adjudicated`` or ``panel``; empty while open or disputed.
    n_decisions
        Sorters' decisions that were counted.
    """

    label: str
    verdict: str
    how: str
    n_decisions: int

    @property
    def settled(self) -> bool:
        return self.verdict not in (OPEN, DISPUTED)


@dataclass(frozen=True)
class Panel:
    """Adjudicators of a task (``n_seats``), and how many of them decided an image or still can (``n_expected``)."""

    n_seats: int = 0
    n_expected: int = 0


def consensus_of(
    rule: ConsensusRule, verdicts: Sequence[Given], adjudication: Sequence[Given] = (), *, n_expected: int = 0,
    n_dealt: int = 0, panel: Panel | None = None,
) -> Consensus:  # fmt: skip
    """What the sorters' ``verdicts`` and the adjudicators' come to; a cleared verdict is none.

    ``n_dealt`` is how many sorters have the image in their queue, ``n_expected`` how many of them decided it or still
    can. Where people left, `ConsensusRule.min_decisions` and ``panel_min`` are lowered to what can still be reached;
    a number that could never be reached is not, and leaves the image open.

    Example
    -------
    >>> consensus_of(ConsensusRule("majority"), [Given("label", "AML"), Given("label", "AML"), Given("exclude")]).label
    'AML'
    """
    given = [one for one in verdicts if one.verdict != CLEARED]
    n = len(given)
    settled = _adjudicated(rule, adjudication, n, panel or Panel()) if rule.rule != "unanimous" else None
    if settled and rule.rule == "adjudicated":
        return settled
    if n < reachable(rule.min_decisions or max(1, n_expected), n_expected, n_dealt):
        return Consensus("", OPEN, "", n)
    return _agreed(rule, given) or settled or Consensus("", DISPUTED, "", n)


def reachable(wanted: int, still: int, once: int) -> int:
    """``wanted``, or where that many were ``once`` there and people left, those who are ``still`` there; 1 at least."""
    return max(1, min(wanted, still)) if wanted <= once else wanted


def _agreed(rule: ConsensusRule, given: Sequence[Given]) -> Consensus | None:
    seniors = [one for one in given if one.senior] if rule.rule == "senior" else []
    counted, how = (seniors, "senior") if seniors else (given, "majority")
    (verdict, label), top = Counter(one.outcome for one in counted).most_common(1)[0]
    if top == len(given):
        return Consensus(label, verdict, "unanimous" if top > 1 else "single", len(given))
    if rule.rule in ("majority", "senior") and 2 * top > len(counted):
        return Consensus(label, verdict, how, len(given))
    return None


def _adjudicated(rule: ConsensusRule, adjudication: Sequence[Given], n: int, panel: Panel) -> Consensus | None:
    votes = Counter(one.outcome for one in adjudication if one.verdict != CLEARED)
    if votes.total() < reachable(rule.panel_min, panel.n_expected, panel.n_seats):
        return None
    (verdict, label), top = votes.most_common(1)[0]
    if 2 * top <= votes.total():
        return None
    return Consensus(label, verdict, "panel" if votes.total() > 1 else "adjudicated", n)
