"""Addresses of the console's own pages."""

from django.urls import path

from console.accounts import account_views, sign_in, sso
from console.exports import views as exports
from console.feedback import undo
from console.listing import saved_view_pages
from console.pages import audit_views, installation_check_views, navigation, styleguide

app_name = "console"
urlpatterns = [
    path("", navigation.home, name="home"),
    path("sign-in/", sign_in.SignInView.as_view(), name="sign-in"),
    path("sign-in/code/", sign_in.sign_in_code, name="sign-in-code"),
    path("sign-in/sso/", sso.start_sign_in, name="sso"),
    path("sign-in/sso/callback/", sso.callback, name="sso-callback"),
    path("sign-out/", sign_in.SignOutView.as_view(), name="sign-out"),
    path("preferences/", sign_in.preferences, name="preferences"),
    path("account/", account_views.account, name="account"),
    path("account/password/", account_views.change_password, name="account-password"),
    path("account/second-factor/on/", account_views.second_factor_on, name="second-factor-on"),
    path("account/second-factor/off/", account_views.second_factor_off, name="second-factor-off"),
    path("account/end-sessions/", account_views.end_sessions, name="end-sessions"),
    path("security/", installation_check_views.security, name="security"),
    path("audit/", audit_views.audit_list, name="audit-list"),
    path("audit/columns/", audit_views.audit_columns, name="audit-columns"),
    path("audit/export/", audit_views.audit_export, name="audit-export"),
    path("styleguide/", styleguide.styleguide, name="styleguide"),
    path("undo/", undo.undo, name="undo"),
    path("views/<slug:listing>/", saved_view_pages.view_list, name="view-list"),
    path("views/<slug:listing>/save/", saved_view_pages.save, name="view-save"),
    path("views/<slug:listing>/default/", saved_view_pages.default, name="view-default"),
    path("views/<int:pk>/change/", saved_view_pages.change, name="view"),
    path("exports/", exports.export_list, name="export-list"),
    path("exports/columns/", exports.export_columns, name="export-columns"),
    path("exports/progress/", exports.progress, name="export-progress"),
    path("exports/start/<slug:listing>/<int:within>/", exports.start, name="export-start"),
    path("exports/<int:pk>/file/", exports.download, name="export-file"),
    path("exports/<int:pk>/cancel/", exports.cancel, name="export-cancel"),
    path("exports/<int:pk>/remove/", exports.remove, name="export-remove"),
]
