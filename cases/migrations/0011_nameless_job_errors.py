"""Refusals of archives that were kept with file names: jobs are read by more people than may see names, and a withdrawal
does not reach them. The lines of the uploads that a withdrawal reaches keep theirs."""

from django.db import migrations
from django.db.models import Q

KINDS = ("cases.ingest_archive", "cases.import_dataset")
WORDS = "The archive was refused; its file names are not kept here."


def forget_names(apps, schema_editor):
    of_files = Q(error_code__startswith="E_ZIP_") | Q(error_code__in=["E_NAME", "E_TOO_LARGE", "E_DATASET_FILES", "E_WSI_UNSUPPORTED"])
    apps.get_model("core", "Job").objects.filter(of_files, kind__in=KINDS).exclude(error="").update(error=WORDS)
    items = apps.get_model("cases", "UploadItem").objects.filter(archive__isnull=False, code__startswith="E_ZIP_")
    items.filter(message__startswith="Members of the archive").update(message=WORDS)


class Migration(migrations.Migration):

    dependencies = [
        ('cases', '0010_measures_in_order'),
        ('core', '0002_job_stalled_since'),
    ]

    operations = [migrations.RunPython(forget_names, migrations.RunPython.noop)]
