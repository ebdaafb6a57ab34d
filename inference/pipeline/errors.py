"""What can be wrong with rules, weights and engines, each with a stable code and a hint."""

from __future__ import annotations

from leukoweb.core.exceptions import DomainError


class RuleSetInvalid(DomainError):
    """A rule set that is not complete, not known or contradicts itself."""

    code = "E_RULE_SET"


class NoImages(DomainError):
    """A diagnosis was asked of nothing; callers store NO_DECISION with this reason."""

    code = "E_NO_IMAGES"


class ProbabilitiesInvalid(DomainError):
    """Per-image probabilities have the wrong shape, the wrong classes or are not probabilities."""

    code = "E_PROBABILITIES"


class SlotNotRun(DomainError):
    """The rules need a model that has not been run; not run is not the same as negative."""

    code = "E_SLOT_NOT_RUN"


class RecipeInvalid(DomainError):
    """A preprocessing recipe that this version cannot follow exactly."""

    code = "E_RECIPE"


class ArchitectureUnknown(DomainError):
    """A network that this version cannot build."""

    code = "E_ARCHITECTURE"


class WeightsFormat(DomainError):
    """Not safetensors, truncated, or a card that cannot be read."""

    code = "E_WEIGHTS_FORMAT"


class WeightsKeys(DomainError):
    """Tensors are missing, unexpected or of another shape than the architecture's."""

    code = "E_WEIGHTS_KEYS"


class WeightsNan(DomainError):
    """A tensor holds NaN or infinity."""

    code = "E_WEIGHTS_NAN"


class WeightsSha(DomainError):
    """A file differs from the SHA-256 on its card."""

    code = "E_WEIGHTS_SHA"


class WeightsClasses(DomainError):
    """Classes are not those of the slot, or not as many as the classifier has."""

    code = "E_WEIGHTS_CLASSES"


class EngineUnavailable(DomainError):
    """The asked engine is not installed or has no device here."""

    code = "E_ENGINE"
    status = 503


class Cancelled(DomainError):
    """The caller's progress callback asked to stop; finished batches stay valid."""

    code = "E_CANCELLED"
    status = 409
