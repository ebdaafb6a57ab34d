"""What slides with a result have now, so that the page of a cohort need not read every image until their next run."""

from itertools import groupby

from django.db import migrations

from inference.selectors.images import images_sha256


def remember(apps, schema_editor):
    contents = apps.get_model("inference", "SlideContents")
    images = apps.get_model("cases", "HpfImage").objects.order_by("slide_id", "position", "id")
    results = apps.get_model("inference", "PatientPrediction").objects.order_by("slide_id")
    slides = list(results.values_list("slide_id", flat=True).distinct())
    for first in range(0, len(slides), 200):
        some = slides[first : first + 200]
        rows = images.filter(slide__in=some).values_list("slide_id", "content_sha256")
        found = {slide: images_sha256(row[1] for row in its) for slide, its in groupby(rows, key=lambda row: row[0])}
        rows = [contents(slide_id=pk, images_sha256=found.get(pk, "")) for pk in some]
        contents.objects.bulk_create(rows, ignore_conflicts=True)  # after a way back those that are there are right


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0005_slide_contents'),
    ]

    operations = [
        migrations.RunPython(remember, migrations.RunPython.noop),
    ]
