from typing import Any

from django.db import migrations

import django_tasks.models.indexes


def forget_settings(apps: Any, schema_editor: Any) -> None:
    """Let tasks without a time of their own be kept as the settings say, from now on."""
    tasks = apps.get_model("django_tasks", "TaskRecord").objects.using(
        schema_editor.connection.alias
    )
    tasks.filter(result_ttl__isnull=True, prune_after__isnull=False).update(prune_after=None)


class Migration(migrations.Migration):
    dependencies = [
        ("django_tasks", "0008_tasks_before_the_last"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="taskrecord",
            name="django_tasks_prune_after_finish",
        ),
        migrations.RemoveConstraint(
            model_name="taskrecord",
            name="django_tasks_result_ttl_sane",
        ),
        migrations.RemoveIndex(
            model_name="taskrecord",
            name="django_tasks_finished",
        ),
        migrations.RemoveIndex(
            model_name="taskrecord",
            name="django_tasks_prune",
        ),
        migrations.RunPython(forget_settings, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="taskrecord",
            index=django_tasks.models.indexes.StatusIndex(
                fields=["finished_at"],
                name="django_tasks_successful",
                nulls={"prune_after": True},
                only_set=False,
                statuses=["SUCCESSFUL"],
                whole=["status", "prune_after", "finished_at"],
            ),
        ),
        migrations.AddIndex(
            model_name="taskrecord",
            index=django_tasks.models.indexes.StatusIndex(
                fields=["finished_at"],
                name="django_tasks_unsuccessful",
                nulls={"prune_after": True},
                only_set=False,
                statuses=["FAILED", "CANCELLED"],
                whole=[],
            ),
        ),
        migrations.AddIndex(
            model_name="taskrecord",
            index=django_tasks.models.indexes.StatusIndex(
                fields=["prune_after"],
                name="django_tasks_prune",
                only_set=True,
                statuses=[],
                whole=[],
            ),
        ),
        migrations.AddIndex(
            model_name="taskrecord",
            index=django_tasks.models.indexes.StatusIndex(
                fields=["finished_at"],
                name="django_tasks_finished",
                nulls={"prune_after": False},
                only_set=False,
                statuses=[],
                whole=["finished_at"],
            ),
        ),
    ]
