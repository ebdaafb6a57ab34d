"""Jobs of this app: uploaded archives and datasets, burnt-in text, the quality of images."""

from __future__ import annotations

from dataclasses import replace

from cases.archives import ZipMember, read_zip
from cases.imaging import decode
from cases.models import Cohort, HpfImage, Slide, TextHint, UploadItem
from cases.selectors.curation import contents_unmeasured
from cases.services.curation import content_try, quality_store
from cases.services.dataset_imports import Target, dataset_import
from cases.services.dataset_uploads import dataset_archive_path
from cases.services.images import image_prepare, image_store
from cases.services.sweeping import media_sweep
from cases.services.uploads import archive_path, close_if_complete, item_refuse, item_settle
from cases.text_hint import VERSION, find_text
from leukoweb.core.exceptions import DomainError
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.models import Job, User
from leukoweb.core.storage import blobs
from leukoweb.core.words import counted

State = UploadItem.State


def ingest_archive(context: JobContext) -> str:
    """Take in the announced members of an archive, one by one. Payload: ``{"item": id of the archive's item}``.

    Each member's outcome is written on its own item, so a restarted job goes on where the last one stopped and one
    bad member stops nothing. An archive that is refused as a whole fails the job and refuses every open member; so is
    one with files of which none was announced, because nobody has said where they go.
    """
    item = UploadItem.objects.select_related("batch__created_by").get(pk=context.payload["item"])
    members = {member.path: member for member in item.members.select_related("slide__patient", "batch")}
    done = sum(member.state != State.EXPECTED for member in members.values())
    passed_over = 0
    try:
        with archive_path(item).open("rb") as file:
            contents = read_zip(file)
            if len(contents) and not members:
                raise _unannounced(len(contents))
            for member in contents:
                known = members.get(f"{item.path}/{'/'.join(member.path_parts)}")
                passed_over += known is None
                if known is None or known.state != State.EXPECTED:
                    continue  # not announced (and so not shown to the uploader), or done before a restart
                _take_in(context, item.batch.created_by, known, member)
                done += 1
                context.progress(done, len(members))
    except FileNotFoundError as error:
        missing = DomainError(
            "The uploaded archive is not on the disk any more.", code="E_ARCHIVE_GONE", hint="Upload it again."
        )
        item_refuse(item, missing)
        raise missing from error
    except DomainError as error:
        _refuse_all(item, members, error)
        raise
    context.when_done(lambda: archive_path(item).unlink(missing_ok=True))
    return _finish(item, members, passed_over)


def _unannounced(n_files: int) -> DomainError:
    return DomainError(
        f"None of the {counted(n_files, 'file')} in the archive was announced, so nobody has said where they go.",
        code="E_UNANNOUNCED",
        hint="Announce its files with member_of first, then send the archive again.",
    )


def _take_in(context: JobContext, user: User, known: UploadItem, member: ZipMember) -> None:
    """Decode outside the transaction: on SQLite it holds the only write lock."""
    try:
        if member.refusal is not None:
            raise member.refusal
        if known.slide is None:
            raise DomainError("The file has no slide.", code="E_NO_SLIDE")
        prepared = image_prepare(member.data, known.path)
        with context.write():
            _look_again(known, known.slide)
            named = replace(prepared, name=known.path)
            added = image_store(actor=user, slide=known.slide, prepared=named, position=known.position)
            item_settle(known, added)
    except DomainError as error:
        if error.status >= 500:
            raise
        with context.write():
            item_refuse(known, error)


def _look_again(known: UploadItem, slide: Slide) -> None:
    """A withdrawal may have taken the archive's name out of the path meanwhile; from here to the commit it waits.

    Locked in its order, the patient before the file, so that neither waits for the other.
    """
    list(Slide.objects.select_for_update(of=("self", "patient")).select_related("patient").filter(pk=slide.pk))
    known.path = UploadItem.objects.select_for_update().values_list("path", flat=True).get(pk=known.pk)


def _refuse_all(item: UploadItem, members: dict[str, UploadItem], error: DomainError) -> None:
    """The archive itself cannot be read; a full disk, though, is worth a retry of the same archive.

    The archive's own item alone names files, and only where members say whose they are: a withdrawal of any of their
    patients takes the names out of it.
    """
    if error.status >= 500:
        return
    nameless = DomainError(error.nameless, code=error.code, hint=error.hint)
    for member in members.values():
        if member.state == State.EXPECTED:
            item_refuse(member, nameless)
    item_refuse(item, error if members else nameless)
    archive_path(item).unlink(missing_ok=True)


def _finish(item: UploadItem, members: dict[str, UploadItem], passed_over: int) -> str:
    absent = DomainError("The archive does not hold this file.", code="E_ZIP_MEMBER", hint="Make the archive again.")
    for member in members.values():
        if member.state == State.EXPECTED:
            item_refuse(member, absent)
    UploadItem.objects.filter(pk=item.pk).update(state=State.STORED)
    close_if_complete(item.batch)
    refused = sum(member.state == State.REFUSED for member in members.values())
    others = f"; {counted(passed_over, 'other file')} of the archive not announced and passed over"
    return f"{counted(len(members) - refused, 'image')} taken in, {refused} refused{others if passed_over else ''}"


def sweep_media(context: JobContext) -> str:
    """The daily sweep. Payload: none."""
    return str(media_sweep())


def find_text_of_slide(context: JobContext) -> str:
    """Look for burnt-in text in each field of a slide. Payload: ``{"slide": id}``. Done fields are not done again."""
    images = HpfImage.objects.filter(slide=context.payload["slide"], slide__patient__withdrawn_at=None)
    contents = list(dict.fromkeys(images.order_by("position", "id").values_list("content_sha256", flat=True)))
    known = set(
        TextHint.objects.filter(content_sha256__in=contents, version=VERSION).values_list("content_sha256", flat=True)
    )
    for sha256 in contents:
        if sha256 in known:
            continue
        boxes = find_text(decode(blobs().read(sha256)))
        if boxes is None:
            raise DomainError("The extra [deid] is not installed where the workers run.", code="E_NO_DEID")
        known.add(sha256)
        with context.write():
            TextHint.objects.get_or_create(content_sha256=sha256, version=VERSION, defaults={"boxes": boxes})
        context.progress(len(known), len(contents))
    with_text = TextHint.objects.filter(content_sha256__in=contents, version=VERSION).exclude(boxes=[]).count()
    return f"{with_text} of {counted(len(contents), 'field')} seem to hold text"


def measure_images(context: JobContext) -> str:
    """Measure every content that was not measured yet, one row each, so that a restart goes on where it stopped.

    Payload: ``{"cohort": id or null}``. A stored file that is missing or damaged stops nothing.
    """
    cohort = context.payload["cohort"]
    waiting = contents_unmeasured(None if cohort is None else list(Cohort.objects.filter(pk=cohort)))
    # Of all that were asked for, so that who goes on after a kill gets further than before.
    total = max(Job.objects.get(pk=context.job_id).total_units or 0, len(waiting))
    lost = 0
    for done, sha256 in enumerate(waiting, start=total - len(waiting) + 1):
        context.check()
        if (measured := content_try(sha256)) is None:
            lost += 1
        else:
            with context.write():
                quality_store(measured)
        context.progress(done, total)
    missing = f"; {lost} stored files could not be read (run `manage.py verify_media`)" if lost else ""
    return f"{counted(len(waiting) - lost, 'image')} measured{missing}"


def import_dataset(context: JobContext) -> str:
    """Take in a dataset that was sent. Payload: ``{"file", "cohort", "purpose", "prefix"}``.

    Nothing is written before every image was decoded. Images that a stopped run wrote are found and left alone.
    """
    payload = dict(context.payload)
    path = dataset_archive_path(payload.pop("file"))
    if not path.is_file():
        raise DomainError("The archive is not on the disk any more.", code="E_ARCHIVE_GONE", hint="Send it again.")
    actor = Job.objects.select_related("created_by").get(pk=context.job_id).created_by
    try:
        done = dataset_import(
            actor=actor, path=path, target=Target(**payload), tell=context.progress, write=context.write
        )
    except DomainError as error:
        if error.status < 500:  # a full disk is worth another try of the same archive
            path.unlink(missing_ok=True)
        raise
    context.when_done(lambda: path.unlink(missing_ok=True))
    cohorts = " and ".join(cohort.name for cohort in done.cohorts)
    return f"{done.n_new} new images in {cohorts}, {done.n_listed - done.n_new} were there; labels: {done.task.name}"
