from leukoweb.core.models.audit import AuditEvent
from leukoweb.core.models.jobs import Job
from leukoweb.core.models.users import Role, User

__all__ = ["AuditEvent", "Job", "Role", "User"]
