"""The test settings, with no more apps than Django's tests of tasks need."""

from tests.settings import *  # noqa: F403 - settings extend settings

INSTALLED_APPS = ["django_tasks"]
MIDDLEWARE = []
ROOT_URLCONF = None
