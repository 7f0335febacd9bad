"""URLs to include: ``path("metrics/", include("django_tasks.contrib.prometheus.urls"))``."""

from django.core.exceptions import ImproperlyConfigured
from django.urls import path

try:
    from .views import metrics
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] != "prometheus_client":
        raise
    raise ImproperlyConfigured(
        "django_tasks.contrib.prometheus.urls needs prometheus-client. Run"
        " `pip install django-tasks-engine[metrics]`."
    ) from error

app_name = "django_tasks_prometheus"

urlpatterns = [path("", metrics, name="metrics")]
