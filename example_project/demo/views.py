"""One page, the JSON that keeps it up to date, and one view per button."""

from __future__ import annotations

from django.forms import Form
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from . import runs, scheduled, starts
from .cards import CARDS
from .forms import MailForm, PicturesForm
from .models import Run

#: Seconds that an import started from the page rests after each of its 20 chunks.
PAUSE = 0.25


@require_safe
@never_cache
def index(request: HttpRequest) -> HttpResponse:
    """Show the cards with their newest runs."""
    return page(request)


@require_safe
@never_cache
def state(request: HttpRequest) -> JsonResponse:
    """Return the newest runs of every card, for the page's script."""
    return JsonResponse(runs.as_json() | {"schedules": scheduled.html()})


@require_POST
def start_thumbnail(request: HttpRequest) -> HttpResponse:
    form = PicturesForm(request.POST, request.FILES)
    if not form.is_valid():
        return refused(request, "thumbnail", form)
    for picture in form.cleaned_data["pictures"]:
        starts.thumbnail(picture)
    return started(request, "thumbnail")


@require_POST
def start_import(request: HttpRequest) -> HttpResponse:
    starts.calendar_import(pause=PAUSE)
    return started(request, "import")


@require_POST
def start_mail(request: HttpRequest) -> HttpResponse:
    form = MailForm(request.POST)
    if not form.is_valid():
        return refused(request, "mail", form)
    starts.mail(form.cleaned_data["recipient"])
    return started(request, "mail")


@require_POST
def start_crash(request: HttpRequest) -> HttpResponse:
    starts.crash()
    return started(request, "crash")


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Cancel the task of a run."""
    run = get_object_or_404(Run, pk=pk)
    card = next(card for card in CARDS if card.slug == run.card)
    card.task.get_result(run.task_id).cancel()
    return started(request, run.card)


def page(request: HttpRequest, errors: dict[str, str] | None = None) -> HttpResponse:
    """Return the whole page; with `errors`, a message by card."""
    errors = errors or {}
    cards = [
        {
            "card": card,
            "error": errors.get(card.slug, ""),
            "runs": [runs.html(card, shown) for shown in runs.newest(card)],
        }
        for card in CARDS
    ]
    context = {
        "cards": cards,
        "schedules": scheduled.html(),
        "schedule_source": scheduled.source(),
        **runs.workers(),
    }
    return render(request, "demo/index.html", context, status=400 if errors else 200)


def started(request: HttpRequest, card: str) -> HttpResponse:
    """Answer a button: with nothing for the script, with the page for a browser without it."""
    return HttpResponse(status=204) if wants_json(request) else redirect(f"/#{card}")


def refused(request: HttpRequest, card: str, form: Form) -> HttpResponse:
    message = " ".join(error for errors in form.errors.values() for error in errors)
    if wants_json(request):
        return JsonResponse({"error": message}, status=400)
    return page(request, {card: message})


def wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept") == "application/json"
