from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("django_tasks", "0007_policy_on_the_row"),
    ]

    operations = [
        migrations.AddField(
            model_name="schedule",
            name="earlier_task_ids",
            field=models.TextField(editable=False, null=True),
        ),
    ]
