"""The endpoint that a page asks how far a task is."""

from __future__ import annotations

import time
from hashlib import blake2b

from django.core import signing
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from ..definitions import progress_tokens
from ..definitions.backends import database_backends
from ..definitions.progress_tokens import Token
from . import reports
from .reports import Report


@require_safe
def progress(request: HttpRequest, token: str) -> HttpResponseBase:
    """
    Tell the holder of a token how far its task is, as JSON.

    404 for a token that is none and for a task that is not there, without telling which; 410 for
    one that has expired; 304 when the ETag that is sent along is still right.
    """
    try:
        report = _report(progress_tokens.read(token, now=time.time()))
    except signing.SignatureExpired:
        return _refusal(410, _("This link has expired. Reload the page."))
    except signing.BadSignature:
        report = None
    if report is None:
        return _refusal(404, _("Not found."))
    return _answer(request, report)


def _report(token: Token) -> Report | None:
    backend = database_backends().get(token.backend)
    if backend is None:
        return None
    return reports.load(backend.database, token.task_id, with_outcome=token.allows == "result")


def _answer(request: HttpRequest, report: Report) -> HttpResponseBase:
    full = _private(JsonResponse(report.as_json()))
    full.headers["ETag"] = etag = f'"{blake2b(full.content, digest_size=16).hexdigest()}"'
    response = get_conditional_response(request, etag=etag, response=full)
    assert response is not None
    retry_after = report.retry_after(timezone.now())
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _refusal(status: int, detail: str) -> HttpResponse:
    return _private(JsonResponse({"detail": detail}, status=status))


def _private(response: HttpResponse) -> HttpResponse:
    """Keep the answer, and the token in its URL, out of caches."""
    patch_cache_control(response, private=True, no_store=True)
    return response
