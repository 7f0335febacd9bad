"""Addresses of a project with a second AdminSite."""

from django.contrib import admin
from django.urls import include, path

from django_tasks.admin import ScheduleAdmin, TaskRecordAdmin
from django_tasks.models import Schedule, TaskRecord

second_site = admin.AdminSite(name="second")
second_site.register(Schedule, ScheduleAdmin)
second_site.register(TaskRecord, TaskRecordAdmin)

urlpatterns = [path("", include("tests.urls")), path("second/", second_site.urls)]
