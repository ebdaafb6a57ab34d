"""The name of a seat in browsers is stored. Seats that are there keep theirs: decisions may wait under it."""

from django.db import migrations, models
from django.utils.crypto import salted_hmac

import cases.models.sorting


def keep_names(apps, schema_editor):
    seats = apps.get_model("cases", "SortingSeat")
    for pk in seats.objects.values_list("pk", flat=True):
        name = salted_hmac("leukoweb.sorting.outbox", str(pk)).hexdigest()[:32]
        seats.objects.filter(pk=pk).update(board=name)


class Migration(migrations.Migration):

    dependencies = [
        ('cases', '0011_nameless_job_errors'),
    ]

    operations = [
        migrations.AddField(
            model_name='sortingseat',
            name='board',
            field=models.CharField(default=cases.models.sorting.new_board, editable=False, help_text='Names the seat in browsers, where decisions wait', max_length=32),
        ),
        migrations.RunPython(keep_names, migrations.RunPython.noop),
    ]
