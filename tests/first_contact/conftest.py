"""A project as somebody has it who begins: settings, one app with tasks, manage.py."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

MANAGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""
SETTINGS = """
SECRET_KEY = "x"
USE_TZ = True
ROOT_URLCONF = "urls"
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
    "django.contrib.messages", "django.contrib.sessions", "django_tasks", "hello",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages"]}}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3", "OPTIONS": {
    "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL", "timeout": 20}}}
"""
URLS = """
from django.contrib import admin
from django.urls import path
urlpatterns = [path("admin/", admin.site.urls)]
"""
TASKS = """
from django_tasks import task

@task(max_attempts=3)
def add(a: int, b: int) -> int:
    return a + b
"""


class Project:
    """Its files, and what its commands say."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "hello").mkdir()
        self.write("manage.py", MANAGE)
        self.write("settings.py", SETTINGS)
        self.write("urls.py", URLS)
        self.write("hello/__init__.py", "")
        self.write("hello/tasks.py", TASKS)

    def write(self, name, text):
        (self.path / name).write_text(text)

    def append(self, name, text):
        self.write(name, (self.path / name).read_text() + f"\n{text}\n")

    @property
    def environment(self):
        return {"PYTHONPATH": str(ROOT), "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}

    def command(self, *args):
        return [sys.executable, "-u", "manage.py", *map(str, args)]

    def run(self, *args):
        """Run a command of manage.py to its end."""
        return subprocess.run(
            self.command(*args), cwd=self.path, env=self.environment,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def said(self, *args):
        """Return the exit code of a command and all that it says."""
        done = self.run(*args)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)
