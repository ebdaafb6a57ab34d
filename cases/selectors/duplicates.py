"""Images that look the same: found now, from hashes that every image has and signatures that the measuring job made.

Nothing is stored about pairs but what people settled, so the list is never out of date.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from cases.likeness import HASH_BITS, confirmed, similar_pairs
from cases.models import Cohort, DuplicateSettlement, HpfImage, ImageQuality
from cases.quality import MEASURE_VERSION

Outcome = DuplicateSettlement.Outcome
_CHUNK = 500
_BLANK = bytes(1024)


@dataclass(frozen=True)
class Seen:
    """What finding needs to know of an image."""

    pk: int
    content: str
    phash: str
    patient_id: int
    cohort_id: int


@dataclass(frozen=True)
class Alike:
    """Two images (ids, the smaller first) that look the same, and what was settled about them."""

    first: int
    second: int
    exact: bool
    likeness: float
    across_patients: bool
    settlement: DuplicateSettlement | None

    @property
    def outcome(self) -> str:
        return self.settlement.outcome if self.settlement else ""

    @property
    def images(self) -> set[int]:
        return {self.first, self.second}

    @property
    def different(self) -> bool:
        """A person looked and said that these are two fields."""
        return self.outcome == Outcome.KEEP_BOTH


@dataclass(frozen=True)
class Search:
    """All pairs, those across patients first, and the proposed pairs that could not be compared yet.

    ``doubtful``: contents of two images of which one at least was not measured.
    """

    pairs: list[Alike]
    n_images: int
    doubtful: tuple[tuple[str, str], ...]
    measured: frozenset[str]

    @property
    def unmeasured(self) -> set[str]:
        """Contents to measure before all pairs are known."""
        return {content for pair in self.doubtful for content in pair} - self.measured

    def unmeasured_beside(self, contents: Collection[str]) -> set[str]:
        """Contents to measure before all pairs with a member among ``contents`` are known; it may be the other one."""
        pairs = [pair for pair in self.doubtful if not set(pair).isdisjoint(contents)]
        return {content for pair in pairs for content in pair} - self.measured

    @property
    def alarms(self) -> list[Alike]:
        """Across patients and not settled."""
        return [pair for pair in self.pairs if pair.across_patients and pair.settlement is None]


def live_seen(cohorts: Iterable[Cohort] | None = None) -> list[Seen]:
    """Every image of live patients, of the cohorts or of all. 1 query."""
    images = HpfImage.objects.filter(slide__patient__withdrawn_at=None).order_by("pk")
    if cohorts is not None:
        images = images.filter(slide__patient__cohort__in=list(cohorts))
    fields = ("pk", "content_sha256", "phash", "slide__patient_id", "slide__patient__cohort_id")
    return [Seen(*row) for row in images.values_list(*fields)]


def duplicates_find(images: Sequence[Seen]) -> Search:
    """Identical and alike pairs among ``images``. Queries: 1, and 1 for every 500 contents that a hash proposed."""
    exact = _identical(images)
    one_each = list({image.content: image for image in reversed(images) if image.phash}.values())
    proposals = similar_pairs([int(image.phash, 16) for image in one_each], HASH_BITS)
    wanted = {one_each[at].content for pair in proposals for at in pair[:2]}
    known = signatures_of(wanted)
    drawn = {
        at: known[image.content] for at, image in enumerate(one_each) if known.get(image.content, _BLANK) != _BLANK
    }
    by_content: dict[str, list[Seen]] = defaultdict(list)
    for image in images:
        by_content[image.content].append(image)
    found = dict.fromkeys(exact, (True, 1.0))
    for alike in confirmed(proposals, drawn):
        for one in by_content[one_each[alike.first].content]:
            for other in by_content[one_each[alike.second].content]:
                found[_in_order(one, other)] = (False, alike.likeness)
    settled = settlements()
    pairs = [
        Alike(one.pk, other.pk, is_exact, likeness, one.patient_id != other.patient_id, settled.get((one.pk, other.pk)))
        for (one, other), (is_exact, likeness) in found.items()
    ]
    pairs.sort(key=lambda p: (not p.across_patients, p.settlement is not None, p.first, p.second))
    proposed = [(one_each[pair[0]].content, one_each[pair[1]].content) for pair in proposals]
    doubtful = tuple(pair for pair in proposed if not known.keys() >= set(pair))
    return Search(pairs, len(images), doubtful, frozenset(known))


def _in_order(one: Seen, other: Seen) -> tuple[Seen, Seen]:
    return (one, other) if one.pk < other.pk else (other, one)


def _identical(images: Sequence[Seen]) -> list[tuple[Seen, Seen]]:
    groups: dict[str, list[Seen]] = defaultdict(list)
    for image in images:
        groups[image.content].append(image)
    return [_in_order(*pair) for group in groups.values() for pair in combinations(group, 2)]


def signatures_of(contents: Collection[str]) -> dict[str, bytes]:
    """Content hash -> signature, of those that were measured. 1 query for every 500."""
    found: dict[str, bytes] = {}
    ordered = sorted(contents)
    for start in range(0, len(ordered), _CHUNK):
        rows = ImageQuality.objects.filter(
            content_sha256__in=ordered[start : start + _CHUNK], measure_version=MEASURE_VERSION
        )
        found |= {sha: bytes(raw) for sha, raw in rows.values_list("content_sha256", "signature")}
    return found


def settlements() -> dict[tuple[int, int], DuplicateSettlement]:
    """The newest settlement of every pair that has one. 1 query."""
    rows = DuplicateSettlement.objects.select_related("decided_by").order_by("pk")
    return {(row.first_id, row.second_id): row for row in rows}


def outcomes_open(first: HpfImage, second: HpfImage) -> list[Outcome]:
    """What a pair, the smaller id first, can be settled as.

    Identical bytes are one field. What an external cohort shows too is never trained on: keeping the other image would
    not let a version be frozen, because taking out the external one takes it out of no slide.
    """
    purposes = [image.slide.patient.cohort.purpose for image in (first, second)]
    closed = {Outcome.KEEP_BOTH} if first.content_sha256 == second.content_sha256 else set()
    if len(set(purposes)) > 1:
        closed.add(Outcome.KEEP_SECOND if purposes[0] == Cohort.Purpose.EXTERNAL else Outcome.KEEP_FIRST)
    return [one for one in Outcome if one not in closed]


def pair_settlements(one: HpfImage, other: HpfImage) -> list[DuplicateSettlement]:
    """Everything that was decided about a pair, the newest first. 1 query."""
    first, second = sorted((one.pk, other.pk))
    rows = DuplicateSettlement.objects.filter(first=first, second=second)
    return list(rows.select_related("decided_by").order_by("-pk"))


def public_ids(ids: Collection[int]) -> dict[int, uuid.UUID]:
    """Image id -> the random id of its addresses. 1 query."""
    return dict(HpfImage.objects.filter(pk__in=list(ids)).values_list("pk", "public_id"))
