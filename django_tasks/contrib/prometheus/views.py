"""The view that a Prometheus server scrapes."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_cache_control
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from ...conf import app_settings
from .collector import QueueCollector

#: What people need who are logged in and have no token.
PERMISSION = "django_tasks.view_taskrecord"
_REFUSAL = (
    'Send the METRICS_TOKEN of DJANGO_TASKS as "Authorization: Bearer TOKEN", or log in as somebody'
    " who may view tasks.\n"
)
_UNSET = (
    'Set METRICS_TOKEN in DJANGO_TASKS and send it as "Authorization: Bearer TOKEN", or log in as'
    " somebody who may view tasks.\n"
)


@require_safe
@transaction.non_atomic_requests
def metrics(request: HttpRequest) -> HttpResponse:
    """
    Tell how queues, schedules and workers stand, in the format that Prometheus asks for.

    401 for a wrong token and for strangers; 403 for people who may not view tasks.
    """
    if refusal := _refusal(request):
        return refusal
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    registry = CollectorRegistry()
    registry.register(QueueCollector())
    return _private(HttpResponse(encode(registry), content_type=content_type))


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """Return the answer to whom nothing is told; None: all is told."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return None if _is_right(token.strip()) else _refused(401)
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return _refused(401)
    return None if user.has_perm(PERMISSION) else _refused(403)


def _is_right(token: str) -> bool:
    expected = app_settings.METRICS_TOKEN
    return expected is not None and constant_time_compare(token, expected)


def _refused(status: int) -> HttpResponse:
    text = _UNSET if app_settings.METRICS_TOKEN is None else _REFUSAL
    answer = HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="django_tasks metrics"'
    return _private(answer)


def _private(response: HttpResponse) -> HttpResponse:
    """Keep the answer out of caches: the next scrape is to see what is then."""
    patch_cache_control(response, private=True, no_store=True)
    return response
