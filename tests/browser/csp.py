"""Middleware that allows pages no more than what they load from their own site."""

from django.http import HttpResponse

POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


class StrictPolicy:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if request.path == "/favicon.ico":
            return HttpResponse(status=204)  # browsers ask for it, and log an error for a 404
        response = self.get_response(request)
        response["Content-Security-Policy"] = POLICY
        return response
