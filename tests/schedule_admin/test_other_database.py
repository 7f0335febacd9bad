"""The admin where the tasks have a database of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the two databases are SQLite files")
def test_schedules_are_kept_where_the_tasks_are(tmp_path):
    """Rows are read, checked, written and deleted there; users and history stay in the default."""
    kept = ("DJANGO_SETTINGS_MODULE", "TEST_DATABASE_NAME", "TEST_DATABASE_URL")

    done = subprocess.run(
        [sys.executable, "-m", "tests.schedule_admin.two_databases", str(tmp_path)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in kept},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout
