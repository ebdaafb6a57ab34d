"""What the API of this app takes and gives."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from rest_framework import serializers

from cases.models import HpfImage, UploadBatch, UploadItem
from cases.services.uploads import Announced
from leukoweb.core.api_serializers import StrictSerializer
from leukoweb.core.exceptions import DomainError

FILES_PER_PAGE = 1000
BYTES_MAX = 2**53 - 1  # what a browser can count


class FileIn(StrictSerializer):
    """One file of a manifest. ``slide`` is a code, needed where the upload fills several slides."""

    path = serializers.CharField(max_length=2000, trim_whitespace=False)
    size = serializers.IntegerField(min_value=0, max_value=BYTES_MAX)
    sha256 = serializers.RegexField(r"^[0-9a-f]{64}$", required=False, allow_blank=True, default="")
    slide = serializers.CharField(max_length=60, required=False, allow_blank=True, default="")
    archive = serializers.BooleanField(required=False, default=False)
    member_of = serializers.CharField(
        max_length=2000, required=False, allow_blank=True, default="", trim_whitespace=False
    )

    @staticmethod
    def announced(row: dict[str, Any]) -> Announced:
        return Announced(
            row["path"], row["size"], row["sha256"], row["slide"], is_archive=row["archive"], member_of=row["member_of"]
        )


def require_one_page(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(files) > FILES_PER_PAGE:
        raise DomainError(
            f"{len(files):,} files in one manifest; the limit is {FILES_PER_PAGE:,}.", code="E_TOO_MANY", field="files",
            hint="Announce the others in further requests to the same upload.",
        )  # fmt: skip
    return files


class SlideIn(StrictSerializer):
    patient = serializers.CharField(max_length=60)
    slide = serializers.CharField(max_length=60)


class FilesIn(StrictSerializer):
    files = FileIn(many=True)

    validate_files = staticmethod(require_one_page)


class UploadIn(StrictSerializer):
    """Either ``slide`` (everything goes there) or ``cohort`` with the ``slides`` that are filled."""

    cohort = serializers.IntegerField(required=False, min_value=1, max_value=2**62)
    slide = serializers.IntegerField(required=False, min_value=1, max_value=2**62)
    slides = SlideIn(many=True, required=False, max_length=5000, default=list)  # type: ignore[call-arg]
    files = FileIn(many=True, required=False, default=list)

    validate_files = staticmethod(require_one_page)


class ItemOut(serializers.ModelSerializer):  # type: ignore[type-arg]
    """An announced file; ``needed`` says whether its bytes should be sent."""

    needed = serializers.SerializerMethodField()
    size = serializers.IntegerField(source="size_bytes")
    slide = serializers.IntegerField(source="slide_id", allow_null=True)
    archive = serializers.BooleanField(source="is_archive")
    member = serializers.SerializerMethodField()
    job = serializers.UUIDField(source="job_id", allow_null=True)

    class Meta:
        model = UploadItem
        fields = [
            "id", "path", "size", "slide", "archive", "member", "state", "needed", "code", "message", "hint", "job",
        ]  # fmt: skip

    def get_needed(self, item: UploadItem) -> bool:
        return item.state == UploadItem.State.EXPECTED and item.archive_id is None

    def get_member(self, item: UploadItem) -> bool:
        return item.archive_id is not None


class NoteOut(serializers.Serializer):  # type: ignore[type-arg]
    code = serializers.CharField()
    message = serializers.CharField()


class ReceivedOut(serializers.Serializer):  # type: ignore[type-arg]
    item = ItemOut()
    warnings = NoteOut(many=True)


class UploadOut(serializers.ModelSerializer):  # type: ignore[type-arg]
    class Meta:
        model = UploadBatch
        fields = ["id", "cohort", "slide", "created_at", "closed_at"]


class UploadCreatedOut(UploadOut):
    items = ItemOut(many=True)

    class Meta(UploadOut.Meta):
        fields = [*UploadOut.Meta.fields, "items"]


class ItemsOut(serializers.Serializer):  # type: ignore[type-arg]
    items = ItemOut(many=True)


class UploadSlideOut(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.IntegerField()
    code = serializers.CharField()
    patient = serializers.CharField(source="patient_code")
    url = serializers.SerializerMethodField()

    def get_url(self, slide: Any) -> str:
        return reverse("slide_detail", args=[slide.pk])


class UploadStateOut(UploadOut):
    """Counts of files by state, and the slides that they go to."""

    counts = serializers.DictField(child=serializers.IntegerField())
    slides = UploadSlideOut(many=True)

    class Meta(UploadOut.Meta):
        fields = [*UploadOut.Meta.fields, "counts", "slides"]


class ImageOut(serializers.ModelSerializer):  # type: ignore[type-arg]
    """An image as the viewer needs it; ``id`` is the random one of the addresses."""

    id = serializers.UUIDField(source="public_id")
    width = serializers.IntegerField(source="width_px")
    height = serializers.IntegerField(source="height_px")
    url = serializers.SerializerMethodField()
    thumb_url = serializers.SerializerMethodField()
    notes = NoteOut(many=True)

    class Meta:
        model = HpfImage
        fields = ["id", "position", "width", "height", "url", "thumb_url", "notes"]

    def get_url(self, image: HpfImage) -> str:
        return reverse("image_file", args=[image.public_id])

    def get_thumb_url(self, image: HpfImage) -> str:
        return reverse("image_thumb", args=[image.public_id])
