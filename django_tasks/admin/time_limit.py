"""The last resort against pages that never come: a time limit for each of their statements."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.db import OperationalError, connections
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from ..store import dialects
from ..store.databases import task_database

logger = logging.getLogger("django_tasks.admin")

#: Seconds that a statement of a page may take. Not those of actions, which come in chunks.
SECONDS = 10.0


def with_time_limit(view: Callable[..., Any], site: admin.AdminSite) -> Callable[..., Any]:
    """Return `view`, which says so with status 503 when the database takes too long for a page."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.method not in ("GET", "HEAD"):
            return view(request, *args, **kwargs)
        response = _limited(request, site, lambda: view(request, *args, **kwargs))
        if hasattr(response, "render") and not response.is_rendered:
            _limit_rendering(response, request, site)
        return response

    return wrapped


def _limit_rendering(response: Any, request: HttpRequest, site: admin.AdminSite) -> None:
    """Lists ask for their rows when the template is rendered, which is after the view."""
    render = response.render

    def limited() -> Any:
        rendered = _limited(request, site, render)
        if rendered is not response:
            response.content, response.status_code = rendered.content, rendered.status_code
        return response

    response.render = limited


def _limited(request: HttpRequest, site: admin.AdminSite, work: Callable[[], Any]) -> Any:
    connection = connections[task_database()]
    dialect = dialects.dialect_for(connection)
    try:
        with dialect.time_limit(connection, SECONDS):
            return work()
    except OperationalError as error:
        if not dialect.is_over_time(error):
            raise
        logger.warning("The page %s takes the database too long.", request.path)
        context = {**site.each_context(request), "seconds": SECONDS}
        html = render_to_string("admin/django_tasks/too_slow.html", context, request)
        return HttpResponse(html, status=503)
