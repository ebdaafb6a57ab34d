"""People and their one role."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.db import models


class Role(models.TextChoices):
    TECHNICIAN = "technician", "Technician"
    PATHOLOGIST = "pathologist", "Pathologist"
    COORDINATOR = "coordinator", "Study coordinator"
    ADMIN = "admin", "Admin"


class User(AbstractUser):
    """A person with exactly one role, so that the role x action table says everything."""

    role = models.CharField(max_length=20, choices=Role.choices, default=Role.TECHNICIAN)
    invite_digest = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of the secret in the open sign-in link"
    )
    invite_expires_at = models.DateTimeField(null=True, blank=True)

    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ["username"]
        constraints = [
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="user_role_known"),
        ]

    def __str__(self) -> str:
        return self.get_full_name() or self.username
