"""``manage.py verify_media``: is every image's file there and unchanged?"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cases.management.failures import told_in_one_line
from cases.models import HpfImage
from cases.services.content import missing_or_damaged


class Command(BaseCommand):
    help = "Compare every stored image with its record. Exit codes: 0 all there, 1 some are missing or damaged."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--quick", action="store_true", help="look at sizes only, do not hash")

    def handle(self, *args: Any, **options: Any) -> None:
        with told_in_one_line():
            found = missing_or_damaged(deep=not options["quick"])
        for image, problem in found:
            self.stderr.write(f"slide {image.slide.code} field {image.position}: {problem} ({image.content_sha256})")
        if found:
            raise CommandError(f"{len(found)} images are missing or damaged.", returncode=1)
        live = HpfImage.objects.filter(slide__patient__withdrawn_at=None).count()
        self.stdout.write(f"{live} images, all there and unchanged.")
