"""What people fill in."""

from labelling.forms.accounts import (
    AccountInvitationForm,
    AccountKindForm,
    InvitationForm,
    LoginForm,
    MemberForm,
    SignUpForm,
    TokenForm,
)
from labelling.forms.files import MappingForm, ProjectFileForm, UploadForm
from labelling.forms.judge import ComparisonForm, PriceForm
from labelling.forms.labels import DraftingForm, LabelForm
from labelling.forms.notices import MailsForm, WebhookForm
from labelling.forms.projects import DiaryForm, ProjectForm, ReleaseForm
from labelling.forms.settings import ProjectSettingsForm
from labelling.forms.tables import DefinitionsForm, RevisionForm

__all__ = [
    "AccountInvitationForm",
    "AccountKindForm",
    "ComparisonForm",
    "DefinitionsForm",
    "DiaryForm",
    "DraftingForm",
    "InvitationForm",
    "LabelForm",
    "LoginForm",
    "MailsForm",
    "MappingForm",
    "MemberForm",
    "PriceForm",
    "ProjectFileForm",
    "ProjectForm",
    "ProjectSettingsForm",
    "ReleaseForm",
    "RevisionForm",
    "SignUpForm",
    "TokenForm",
    "UploadForm",
    "WebhookForm",
]
