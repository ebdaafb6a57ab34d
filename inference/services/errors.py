"""What can be wrong with the registry and with runs; every refusal names what to do."""

from __future__ import annotations

from leukoweb.core.exceptions import Conflict, DomainError, NotFound


class PipelineMissing(Conflict):
    """No pipeline is active, so there is nothing to run."""

    code = "E_NO_PIPELINE"


class ModelFilesMissing(NotFound):
    """A registered model whose stored files are gone."""

    code = "E_WEIGHTS_MISSING"


class VersionTaken(Conflict):
    """The same name and version with other content: versions never change."""

    code = "E_VERSION_TAKEN"


class PatientWithdrawn(Conflict):
    """A withdrawn patient's images are gone and the results are closed."""

    code = "E_WITHDRAWN"


class ImageLost(DomainError):
    """A field whose stored file is missing or damaged; a diagnosis without it would be another one."""

    code = "E_IMAGE_LOST"
    status = 409


class SaliencyUnavailable(DomainError):
    """A saliency map that cannot exist: unknown class, model not in the run, or a network without maps."""

    code = "E_NO_SALIENCY"
    status = 404


class ModeUnknown(DomainError):
    code = "E_MODE"


class ArchiveRefused(DomainError):
    """A zip that does not hold one model folder or one pipeline folder."""

    code = "E_ARCHIVE"
