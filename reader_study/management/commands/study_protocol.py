"""``manage.py study_protocol check|export|import``: protocols as YAML files."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leukoweb.core.exceptions import DomainError
from leukoweb.core.models import User
from reader_study.models import Study
from reader_study.protocol import check_yaml, diff, dump_yaml, load_yaml, notices, protocol_sha256
from reader_study.protocol.yaml_io import MAX_BYTES
from reader_study.selectors.feasibility import feasibility
from reader_study.selectors.studies import protocol_current
from reader_study.services.studies import draft_save, study_create


class Command(BaseCommand):
    help = "Check a protocol file, write a study's protocol to one, or make a draft from one. Exit codes: 0, 2 refused."

    def add_arguments(self, parser: ArgumentParser) -> None:
        deeds = parser.add_subparsers(dest="deed", required=True)
        check = deeds.add_parser("check", help="say everything that is wrong with a file")
        check.add_argument("file", type=Path)
        check.add_argument("--study", metavar="TITLE", help="also against the database and the locked protocol")
        export = deeds.add_parser("export", help="write the newest locked protocol (or the draft) out")
        export.add_argument("study", metavar="TITLE")
        export.add_argument("file", type=Path, nargs="?")
        export.add_argument("--protocol-version", type=int, help="a certain locked version")
        take = deeds.add_parser("import", help="make a draft from a file, or replace the draft of the same title")
        take.add_argument("file", type=Path)
        take.add_argument("--coordinator", metavar="USERNAME", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            {"check": self._check, "export": self._export, "import": self._import}[options["deed"]](options)
        except DomainError as error:
            raise CommandError(f"{error.message} {error.hint}".strip(), returncode=2) from error

    def _read(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except OSError as error:
            raise CommandError(f"{str(path)!r} cannot be read: {error.strerror}.", returncode=2) from error

    def _study(self, title: str) -> Study:
        study = Study.objects.filter(title=title).first()
        if study is None:
            raise CommandError(f"There is no study {title!r}.", returncode=2)
        return study

    def _check(self, options: dict[str, Any]) -> None:
        data = self._read(options["file"])
        document, problems = check_yaml(data)
        if problems:
            for problem in problems:
                self.stderr.write(f"{problem} {problem.hint}".strip())
            raise CommandError(f"{len(problems)} problem{'s' * (len(problems) > 1)}.", returncode=2)
        document = load_yaml(data)
        for notice in notices(document):
            self.stdout.write(f"note: {notice} {notice.hint}".strip())
        if options["study"]:
            self._against(self._study(options["study"]), document)
        self.stdout.write(f"The protocol can be locked. SHA-256 {protocol_sha256(document)}")

    def _against(self, study: Study, document: dict[str, Any]) -> None:
        locked = protocol_current(study)
        if locked is not None:
            changes = diff(locked.document, document)
            for change in changes:
                self.stderr.write(str(change))
            if changes:
                raise CommandError(
                    f"{len(changes)} items differ from version {locked.version}, which is locked.", returncode=2
                )
            return
        found = feasibility(study, document)
        for problem in found.problems:
            self.stderr.write(f"{problem} {problem.hint}".strip())
        if found.problems:
            raise CommandError(f"{len(found.problems)} problems with this database.", returncode=2)

    def _export(self, options: dict[str, Any]) -> None:
        study = self._study(options["study"])
        locked = protocol_current(study)
        if (wanted := options["protocol_version"]) is not None:
            locked = study.protocols.filter(version=wanted).first()
            if locked is None:
                raise CommandError(f"The study has no protocol version {wanted}.", returncode=2)
        text = dump_yaml(locked.document if locked else study.draft)
        if options["file"] is None:
            self.stdout.write(text, ending="")
            return
        try:
            options["file"].write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(
                f"{str(options['file'])!r} cannot be written: {error.strerror}.", returncode=2
            ) from error
        self.stdout.write(f"{'Version ' + str(locked.version) if locked else 'The draft'} was written.")

    def _import(self, options: dict[str, Any]) -> None:
        coordinator = User.objects.filter(username=options["coordinator"]).first()
        if coordinator is None:
            raise CommandError(f"There is no user {options['coordinator']!r}.", returncode=2)
        document = load_yaml(self._read(options["file"]))
        study = Study.objects.filter(title=document["title"]).first()
        if study is None:
            study = study_create(actor=coordinator, title=document["title"], document=document)
            self.stdout.write(f"Draft made: {study.public_id}")
            return
        draft_save(actor=coordinator, study=study, document=document, version=study.draft_version)
        self.stdout.write(f"Draft replaced: {study.public_id}")
