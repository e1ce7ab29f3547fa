"""In and out, and one's own account."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.utils import perform_login
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, views
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.generic import FormView

from labelling.forms import LoginForm, SignUpForm
from labelling.services import Refused, account_changes, diary, invitations, logins, sessions, sign_on
from labelling.services.diary import Act
from labelling.views.access import Request


class Login(views.LoginView):
    """The front page of everybody who isn't in; whoever failed too often waits, longer each time.

    Whoever has a second factor is asked for it next.
    """

    form_class = LoginForm
    redirect_authenticated_user = True

    def get_form_kwargs(self) -> dict[str, Any]:
        seconds = 0
        if self.request.method == "POST":
            seconds = logins.seconds_to_wait(self.request.POST.get("username", "")[:150], diary.address())
        return super().get_form_kwargs() | {"seconds": seconds}

    def form_valid(self, form: Any) -> HttpResponse:
        return perform_login(self.request, form.get_user(), redirect_url=self.get_success_url())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {
            "may_reset": bool(settings.EMAIL_URL),
            "sign_on": sign_on.name(),
        }


class _ToldOf(FormView):
    """The diary is told of the new password."""

    def form_valid(self, form: Any) -> HttpResponse:
        answer = super().form_valid(form)
        account_changes.note(form.user, Act.PASSWORD, by=form.user)
        return answer


class ChangePassword(_ToldOf, views.PasswordChangeView):
    """A new password, by whoever knows the old one."""


class NewPassword(_ToldOf, views.PasswordResetConfirmView):
    """The end of the way back by mail: whoever was logged in with the old password is out."""


@login_not_required
def join(request: HttpRequest, secret: str) -> HttpResponse:
    """Accept an invitation: with one's account, or with a new one."""
    invitation = invitations.find(secret)
    if invitation is None:
        return render(request, "labelling/join.html", {"invitation": None}, status=410)
    form = None if request.user.is_authenticated else SignUpForm(request.POST or None)
    if request.method == "POST" and (form is None or form.is_valid()):
        try:
            with transaction.atomic():
                user = cast("User", form.save() if form else request.user)
                project = invitations.accept(secret, user)
        except Refused as refusal:
            messages.error(request, str(refusal))
            return redirect("join", secret)
        if form:
            login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        messages.success(request, _("Welcome to “%(project)s”.") % {"project": project or "R.E.D."})
        return redirect(project or "project_list")
    return render(request, "labelling/join.html", {"invitation": invitation, "form": form, "sign_on": sign_on.name()})


def session_list(request: Request) -> HttpResponse:
    """Where one is logged in; to end what one doesn't know."""
    places = sessions.places(request.user, request.session.session_key or "")
    if request.method == "POST":
        chosen = request.POST.get("place")
        keys = [place.key for place in places if not place.is_here and chosen in (place.id, "others")]
        n = sessions.end(request.user, keys)
        told = ngettext("Logged out in %(n)s place.", "Logged out in %(n)s places.", n) % {"n": n}
        messages.success(request, told)
        return redirect("sessions")
    return render(request, "labelling/sessions.html", {"places": places})
