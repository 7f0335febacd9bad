"""Addresses of a project whose operators have an AdminSite of their own."""

from django.contrib import admin
from django.urls import include, path

from django_tasks.admin import ScheduleAdmin, TaskRecordAdmin, WorkerRecordAdmin
from django_tasks.models import Schedule, TaskRecord, WorkerRecord

ops_site = admin.AdminSite(name="ops")
ops_site.register(TaskRecord, TaskRecordAdmin)
ops_site.register(Schedule, ScheduleAdmin)
ops_site.register(WorkerRecord, WorkerRecordAdmin)

urlpatterns = [path("", include("tests.urls")), path("operations/", ops_site.urls)]
