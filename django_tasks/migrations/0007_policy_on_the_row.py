from django.db import migrations, models

import django_tasks.models.indexes


class Migration(migrations.Migration):
    dependencies = [
        ("django_tasks", "0006_versions_of_workers"),
    ]

    operations = [
        migrations.AddField(
            model_name="taskrecord",
            name="on_lost",
            field=models.CharField(max_length=10, null=True),
        ),
        migrations.AddField(
            model_name="taskrecord",
            name="prune_after",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="taskrecord",
            name="result_ttl",
            field=models.FloatField(null=True),
        ),
        migrations.AddIndex(
            model_name="taskrecord",
            index=django_tasks.models.indexes.StatusIndex(
                fields=["prune_after"], name="django_tasks_prune", only_set=True, statuses=[]
            ),
        ),
        migrations.AddConstraint(
            model_name="taskrecord",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("prune_after__isnull", True), ("finished_at__isnull", False), _connector="OR"
                ),
                name="django_tasks_prune_after_finish",
            ),
        ),
        migrations.AddConstraint(
            model_name="taskrecord",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("result_ttl__isnull", True),
                    models.Q(("result_ttl__gte", 0), ("result_ttl__lte", 3153600000.0)),
                    _connector="OR",
                ),
                name="django_tasks_result_ttl_sane",
            ),
        ),
    ]
