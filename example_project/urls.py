from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.templatetags.static import static as static_url
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("admin/", admin.site.urls),
    # For the admin: browsers ask for it there, and the page names its own.
    path("favicon.ico", RedirectView.as_view(url=static_url("demo/icon.svg"))),
    path("", include("example_project.demo.urls")),
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
]
