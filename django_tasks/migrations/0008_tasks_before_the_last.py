from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("django_tasks", "0006_versions_of_workers"),
    ]

    operations = [
        migrations.AddField(
            model_name="schedule",
            name="earlier_task_ids",
            field=models.TextField(editable=False, null=True),
        ),
    ]
