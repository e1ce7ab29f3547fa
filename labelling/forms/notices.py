"""Who and what is told of what happens."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy

from labelling.models import Event, Mailbox, Webhook


class MailsForm(forms.ModelForm):
    """How one is told by mail."""

    class Meta:
        model = Mailbox
        fields = ["mail"]


class WebhookForm(forms.ModelForm):
    """Where a program listens, and what it wants to know."""

    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("What is sent"),
        choices=Event.Kind.choices,
        initial=Event.Kind.values,
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = Webhook
        fields = ["address", "kinds"]
        widgets = {"address": forms.URLInput}
