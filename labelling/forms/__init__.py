"""What people fill in."""

from labelling.forms.accounts import (
    AccountInvitationForm,
    AccountKindForm,
    CodeAgainForm,
    CodeForm,
    FirstCodeForm,
    InvitationForm,
    LoginForm,
    MemberForm,
    PasswordAgainForm,
    SignUpForm,
    TokenForm,
)
from labelling.forms.domains import DomainForm
from labelling.forms.files import MappingForm, PredictForm, ProjectFileForm, UploadForm
from labelling.forms.judge import ComparisonForm, PriceForm
from labelling.forms.labels import DraftingForm, LabelForm
from labelling.forms.notices import MailsForm, WebhookForm
from labelling.forms.projects import DiaryForm, ProjectForm, ReleaseForm
from labelling.forms.settings import EncoderForm, ProjectSettingsForm
from labelling.forms.tables import DefinitionsForm, RevisionForm

__all__ = [
    "AccountInvitationForm",
    "AccountKindForm",
    "CodeAgainForm",
    "CodeForm",
    "ComparisonForm",
    "DefinitionsForm",
    "DiaryForm",
    "DomainForm",
    "DraftingForm",
    "EncoderForm",
    "FirstCodeForm",
    "InvitationForm",
    "LabelForm",
    "LoginForm",
    "MailsForm",
    "MappingForm",
    "MemberForm",
    "PasswordAgainForm",
    "PredictForm",
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
