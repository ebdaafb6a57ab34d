"""What is said about one run, free of any database, and the names that it carries in other systems.

Identifiers are made from the run's own address by UUID version 5 (RFC 4122), so that the same run has the same ones
in every export. Private code systems are OIDs under 2.25 (ITU-T X.667), which need nobody's registration.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

NOTICE: Final = "Research use only. Computed by software and verified by nobody. Not for diagnosis or treatment."
SYNTHETIC_NOTICE: Final = "Made by a demonstration model that was trained on drawn images."
PHANTOM_NOTICE: Final = "The images are drawn phantoms, not a person's."

FORMAT: Final = "1"
"""Part of every identifier: raise it when a file's content changes for the same result."""

_ROOT: Final = uuid.uuid5(uuid.NAMESPACE_URL, "leukoweb/interoperability")


def oid(name: str) -> str:
    """The OID of one of our code systems or objects; at most 44 characters."""
    return f"2.25.{uuid.uuid5(_ROOT, name).int}"


CODES_OID: Final = oid("codes")
"""Questions and answers: the concepts of ``CONCEPTS`` and the classes of the models."""
PATIENTS_OID: Final = oid("patient codes")
SLIDES_OID: Final = oid("slide codes")
RUNS_OID: Final = oid("runs")
SHA256_OID: Final = oid("sha-256")

CONCEPTS: Final[Mapping[str, str]] = {
    "REPORT": "AI result on a peripheral blood smear",
    "NOTICE": "Terms of use",
    "DIAGNOSIS": "Class of the slide",
    "DIAGNOSIS_3": "Class of the slide, three classes",
    "DIAGNOSIS_5": "Class of the slide, five classes",
    "NO_DECISION": "No decision",
    "REASON": "Why there is no decision",
    "REMARK": "Remark of the rules",
    "N_FIELDS": "Number of microscope fields",
    "STEP": "Step of the rules",
    "OUTCOME": "Outcome of the step",
    "N_VOTERS": "Number of fields that voted",
    "VOTES": "Fields by class among those that voted",
    "MODEL": "Model",
    "LABELS": "Fields by the model's most probable class",
    "NOT_RUN": "Not needed by the rules, so not run",
    "SHA256": "SHA-256 of the weights",
    "RECIPE_SHA256": "SHA-256 of the preprocessing recipe",
    "ENGINE": "Numeric profile",
    "PIPELINE": "Pipeline",
    "RULES": "Rule set",
    "RULES_SHA256": "SHA-256 of the rule set",
    "IMAGES_SHA256": "SHA-256 of the list of images",
    "SOFTWARE": "Software that decided",
    "WORDS": "Reasons in words",
    "RESEARCH": "Research use only",
}  # fmt: skip
"""Our own concepts: code -> words. No clinical terminology: a receiver must not file this as a diagnosis."""


@dataclass(frozen=True, slots=True)
class StepFact:
    """One step of the rules."""

    name: str
    slot: str
    sentence: str
    outcome: str
    n_voters: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ModelFact:
    """One model of the pipeline; ``labels`` (class -> fields whose most probable class it was) is None: not run."""

    slot: str
    title: str
    name: str
    version: str
    weights_sha256: str
    recipe_sha256: str
    synthetic: bool
    engine: str
    labels: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class ResultFacts:
    """One run's result. Of the patient nothing but the pseudonymous code; class names map to words in ``titles``."""

    run: uuid.UUID
    patient: str
    slide: str
    diagnosis: str
    diagnosis_3: str
    diagnosis_5: str
    reason: str
    flags: tuple[str, ...]
    steps: tuple[StepFact, ...]
    models: tuple[ModelFact, ...]
    pipeline: str
    pipeline_version: str
    rules: str
    rules_version: str
    rules_sha256: str
    n_images: int
    images_sha256: str
    mode: str
    app_version: str
    decided_at: datetime
    phantom: bool
    titles: Mapping[str, str]

    def id(self, part: str) -> uuid.UUID:
        """The identifier of one part of this run's files."""
        return uuid.uuid5(self.run, f"{FORMAT}/{part}")

    def title(self, name: str) -> str:
        return self.titles.get(name, name)

    @property
    def synthetic(self) -> bool:
        return any(model.synthetic for model in self.models)

    @property
    def notices(self) -> tuple[str, ...]:
        """What must stand with every answer."""
        notices = [NOTICE]
        if self.synthetic:
            notices.append(SYNTHETIC_NOTICE)
        if self.phantom:
            notices.append(PHANTOM_NOTICE)
        return tuple(notices)

    @property
    def answers(self) -> tuple[tuple[str, str], ...]:
        """(concept, class) of each level that the rules gave; the finest first where no level has a name."""
        levels = (("DIAGNOSIS_3", self.diagnosis_3), ("DIAGNOSIS_5", self.diagnosis_5))
        given = tuple((concept, name) for concept, name in levels if name)
        return given or ((("DIAGNOSIS", self.diagnosis),) if self.diagnosis else ())

    @property
    def conclusion(self) -> str:
        """The result and its reasons as sentences."""
        n = self.n_images
        said = f"{self.title(self.diagnosis)}, on {n} field{'' if n == 1 else 's'}." if self.diagnosis else ""
        said = said or f"No decision. {self.reason}".strip()
        words = [
            said,
            *(f"{_capital(step.sentence)}." for step in self.steps),
            *(f"{_capital(f)}." for f in self.flags),
        ]
        return " ".join((*words, *self.notices))


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
