from typing import Any

from django.db import migrations

#: Columns with names, by table.
NAMES = {
    "django_tasks_taskrecord": ("queue_name varchar(100)", "task_path varchar(255)"),
    "django_tasks_queuestate": ("queue_name varchar(100)",),
    "django_tasks_rollup": ("queue_name varchar(100)",),
}


def vacuum_early(apps: Any, schema_editor: Any) -> None:
    """
    Make PostgreSQL vacuum the task table by rows changed, not by share of the table.

    Each task leaves two dead rows behind; waiting for a fifth of a large table would let claims
    slow down first.
    """
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "ALTER TABLE django_tasks_taskrecord SET ("
            "autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,"
            " autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05)"
        )


def compare_names_by_byte(apps: Any, schema_editor: Any) -> None:
    """Make MySQL and MariaDB compare names byte by byte: queue "Mail" is not queue "mail"."""
    if schema_editor.connection.vendor != "mysql":
        return
    binary = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
    # By a cursor: the schema editor refuses DDL in RunPython's transaction, which MySQL commits
    # implicitly.
    with schema_editor.connection.cursor() as cursor:
        for table, columns in NAMES.items():
            changes = ", ".join(f"MODIFY {column} {binary}" for column in columns)
            cursor.execute(f"ALTER TABLE {table} {changes}")


class Migration(migrations.Migration):
    dependencies = [
        ("django_tasks", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(vacuum_early, migrations.RunPython.noop, elidable=False),
        migrations.RunPython(compare_names_by_byte, migrations.RunPython.noop, elidable=False),
    ]
