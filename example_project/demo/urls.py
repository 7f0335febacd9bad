from django.urls import path

from . import views

app_name = "demo"

urlpatterns = [
    path("", views.index, name="index"),
    path("state/", views.state, name="state"),
    path("start/thumbnail/", views.start_thumbnail, name="start-thumbnail"),
    path("start/import/", views.start_import, name="start-import"),
    path("start/mail/", views.start_mail, name="start-mail"),
    path("start/crash/", views.start_crash, name="start-crash"),
    path("cancel/<int:pk>/", views.cancel, name="cancel"),
]
