from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("django_tasks", "0005_list_of_tasks"),
    ]

    operations = [
        migrations.AddField(
            model_name="workerrecord",
            name="versions",
            field=models.CharField(db_default="", max_length=100, verbose_name="versions"),
        ),
    ]
