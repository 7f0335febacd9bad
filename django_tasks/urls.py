"""URLs for a project to include: ``path("tasks/", include("django_tasks.urls"))``."""

from django.urls import path

from .progress.views import progress

app_name = "django_tasks"

urlpatterns = [path("progress/<str:token>/", progress, name="progress")]
