from django.db import migrations

import django_tasks.models.indexes


class Migration(migrations.Migration):
    dependencies = [
        ("django_tasks", "0004_rollups"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="taskrecord",
            index=django_tasks.models.indexes.StatusIndex(
                fields=["id"],
                name="django_tasks_failed",
                only_set=False,
                statuses=["FAILED", "CANCELLED"],
            ),
        ),
    ]
