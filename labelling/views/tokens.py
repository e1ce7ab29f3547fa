"""One's own tokens for the API."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from labelling.forms import TokenForm
from labelling.models import Token
from labelling.services import tokens
from labelling.views.access import Request


@never_cache
def token_list(request: Request) -> HttpResponse:
    """One's tokens; the secret of a new one is shown once, in answer to the form."""
    form, secret = TokenForm(request.POST or None, user=request.user), ""
    if request.method == "POST" and form.is_valid():
        _token, secret = tokens.create(request.user, **form.cleaned_data)
        form = TokenForm(user=request.user)
    own = Token.objects.filter(user=request.user).select_related("project")
    return render(request, "labelling/tokens.html", {"form": form, "secret": secret, "tokens": own})


@require_POST
def revoke(request: Request, pk: int) -> HttpResponse:
    tokens.revoke(request.user, pk)
    return redirect("tokens")
