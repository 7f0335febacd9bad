"""Who looks at the pages."""

import pytest
from django.contrib.auth.models import User

from tests.schedule_admin.steps import client_of


@pytest.fixture
def root(db):
    return client_of(User.objects.create_superuser("root"))
