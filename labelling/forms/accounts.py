"""In, and into a project."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ReauthenticateForm
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.base.forms import ReauthenticateForm as MfaReauthenticateForm
from allauth.mfa.totp.forms import ActivateTOTPForm
from django import forms
from django.contrib.auth.forms import AuthenticationForm, BaseUserCreationForm
from django.contrib.auth.models import User
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from labelling.models import AccountKind, Invitation, Membership, Project, Token


class Guarded(forms.Form):
    """Something that can be guessed; ``seconds``: how long nobody may try."""

    def __init__(self, *args: Any, seconds: int = 0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.seconds = seconds

    def check_wait(self) -> None:
        if not self.seconds:
            return
        told = {"minutes": -(-self.seconds // 60)}
        text = ngettext(
            "Too many attempts have failed. Try again in %(minutes)s minute.",
            "Too many attempts have failed. Try again in %(minutes)s minutes.",
            told["minutes"],
        )
        raise forms.ValidationError(text % told)


class LoginForm(Guarded, AuthenticationForm):
    """Name and password."""

    def clean(self) -> dict[str, Any]:
        self.check_wait()
        return super().clean()


class PasswordAgainForm(Guarded, ReauthenticateForm):
    """The password of somebody who is logged in."""

    password = forms.CharField(
        label=gettext_lazy("Your password"),
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password", "autofocus": True}),
    )

    def clean_password(self) -> str:
        self.check_wait()
        return super().clean_password()


class _Code(forms.Form):
    code = forms.CharField(
        label=gettext_lazy("Code"),
        max_length=20,
        widget=forms.TextInput({"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}),
    )


class CodeForm(_Code, Guarded, AuthenticateForm):
    """A code of the app, or a recovery code, to log in with."""

    def clean_code(self) -> str:
        self.check_wait()
        return super().clean_code()


class CodeAgainForm(_Code, Guarded, MfaReauthenticateForm):
    """The same of somebody who is logged in."""

    def clean_code(self) -> str:
        self.check_wait()
        return super().clean_code()


class FirstCodeForm(_Code, ActivateTOTPForm):
    """The first code of an app that is being set up."""


class SignUpForm(BaseUserCreationForm):
    """An account for somebody who was invited."""

    class Meta:
        model = User
        fields = ["username", "email"]


class InvitationForm(forms.ModelForm):
    """Whom a link is for, and what they will be."""

    class Meta:
        model = Invitation
        fields = ["name", "role"]

    def __init__(self, *args: Any, **kwargs: Any):
        # Beside the form that adds members, which has a role, too.
        super().__init__(*args, **kwargs | {"auto_id": "invited_%s"})


class AccountInvitationForm(InvitationForm):
    """The same for administrators, into any project or none."""

    class Meta(InvitationForm.Meta):
        fields = ["name", "project", "role"]
        labels = {"project": gettext_lazy("Into which project")}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        project = self.fields["project"]
        project.queryset = Project.objects.filter(archived_at=None)  # type: ignore[attr-defined]
        project.empty_label = _("none: they make projects of their own")  # type: ignore[attr-defined]
        self.fields["role"].help_text = _("In that project.")


class AccountKindForm(forms.Form):
    """What an account may do on the site."""

    kind = forms.ChoiceField(label=gettext_lazy("On this site"), choices=AccountKind)


class MemberForm(forms.Form):
    """Add an existing user, by name or e-mail address."""

    user = forms.CharField(label=gettext_lazy("User name or e-mail address"), max_length=254)
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=Membership.Role)

    def clean_user(self) -> User:
        known_as = self.cleaned_data["user"].strip()
        found = User.objects.filter(Q(username=known_as) | Q(email__iexact=known_as), is_active=True)[:2]
        if len(found) != 1:
            raise forms.ValidationError(_("There is no such user. Invite them by link."))
        return found[0]


class TokenForm(forms.ModelForm):
    """A token for a program; the projects are those of its person."""

    days = forms.IntegerField(label=gettext_lazy("For how many days"), initial=90, min_value=1, max_value=3_650)
    field_order = ["name", "project", "scope", "days"]

    class Meta:
        model = Token
        fields = ["name", "project", "scope"]
        labels = {"project": gettext_lazy("Project")}

    def __init__(self, *args: Any, user: User, **kwargs: Any):
        super().__init__(*args, **kwargs)
        project = self.fields["project"]
        project.queryset = Project.objects.visible_to(user)  # type: ignore[attr-defined]
        project.empty_label = _("all")  # type: ignore[attr-defined]
