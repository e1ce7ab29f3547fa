"""Every address of the site."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from django.views.generic import RedirectView
from django.views.i18n import set_language

from labelling.views import accounts, security, sign_on

handler500 = "labelling.views.status.server_error"

PROVIDER = {"provider_id": settings.OIDC_ID}

urlpatterns = [
    path("login/", accounts.Login.as_view(), name="login"),
    # Names that are allauth's, which looks for them.
    path("login/", accounts.Login.as_view(), name="account_login"),
    path("login/code/", security.CodeAtLogin.as_view(), name="mfa_authenticate"),
    path("login/oidc/", sign_on.leave, PROVIDER, name="openid_connect_login"),
    path("login/oidc/callback/", sign_on.come_back, PROVIDER, name="openid_connect_callback"),
    path("login/oidc/cancelled/", sign_on.cancelled, name="socialaccount_login_cancelled"),
    path("security/unlink/", sign_on.unlink, name="unlink"),
    path("security/", security.security, name="mfa_index"),
    path("security/password/", security.PasswordAgain.as_view(), name="account_reauthenticate"),
    path("security/code/", security.CodeAgain.as_view(), name="mfa_reauthenticate"),
    path("security/app/", security.SetUp.as_view(), name="mfa_activate_totp"),
    path("security/app/remove/", security.Remove.as_view(), name="mfa_deactivate_totp"),
    path("security/recovery-codes/", security.RecoveryCodes.as_view(), name="mfa_view_recovery_codes"),
    path("security/recovery-codes/new/", security.NewRecoveryCodes.as_view(), name="mfa_generate_recovery_codes"),
    # One door alone, with one lock.
    path("admin/login/", login_not_required(RedirectView.as_view(pattern_name="login", query_string=True))),
    path("join/<str:secret>/", accounts.join, name="join"),
    path("sessions/", accounts.session_list, name="sessions"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("password/", accounts.ChangePassword.as_view(), name="password_change"),
    path("password/done/", auth.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("password/forgotten/", auth.PasswordResetView.as_view(), name="password_reset"),
    path("password/forgotten/sent/", auth.PasswordResetDoneView.as_view(), name="password_reset_done"),
    path("password/new/<uidb64>/<token>/", accounts.NewPassword.as_view(), name="password_reset_confirm"),
    path("password/new/done/", auth.PasswordResetCompleteView.as_view(), name="password_reset_complete"),
    path("language/", login_not_required(set_language), name="set_language"),
    path("admin/", admin.site.urls),
    path("", include("labelling.urls")),
]
