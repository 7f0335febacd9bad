"""A policy that allows pages no more than what they load from their own site, or with a nonce."""

from django.http import HttpResponse
from django.middleware.csp import ContentSecurityPolicyMiddleware
from django.utils.csp import CSP

#: For Django's setting SECURE_CSP.
POLICY = {
    "default-src": [CSP.SELF],
    "script-src": [CSP.SELF, CSP.NONCE],
    "style-src": [CSP.SELF, CSP.NONCE],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
}


class StrictPolicy(ContentSecurityPolicyMiddleware):
    """Django's own middleware, with an answer for what browsers ask for beside the pages."""

    def __call__(self, request):
        if request.path == "/favicon.ico":
            return HttpResponse(status=204)  # a 404 would be an error in the console
        return super().__call__(request)
