"""The pages of tests, and the view of metrics."""

from django.urls import include, path

urlpatterns = [
    path("", include("tests.urls")),
    path("metrics/", include("django_tasks.contrib.prometheus.urls")),
]
