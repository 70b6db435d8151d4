"""Addresses of the console's own pages."""

from django.urls import path

from console import accounts, styleguide, undo
from console.exports import views as exports
from console.listing import saved_views

app_name = "console"
urlpatterns = [
    path("", accounts.home, name="home"),
    path("sign-in/", accounts.SignIn.as_view(), name="sign-in"),
    path("sign-out/", accounts.SignOut.as_view(), name="sign-out"),
    path("preferences/", accounts.preferences, name="preferences"),
    path("styleguide/", styleguide.styleguide, name="styleguide"),
    path("undo/", undo.undo, name="undo"),
    path("views/<slug:listing>/", saved_views.view_list, name="view-list"),
    path("views/<slug:listing>/save/", saved_views.save, name="view-save"),
    path("views/<slug:listing>/default/", saved_views.default, name="view-default"),
    path("views/<int:pk>/change/", saved_views.change, name="view"),
    path("exports/", exports.export_list, name="export-list"),
    path("exports/columns/", exports.export_columns, name="export-columns"),
    path("exports/progress/", exports.progress, name="export-progress"),
    path("exports/start/<slug:listing>/<int:within>/", exports.start, name="export-start"),
    path("exports/<int:pk>/file/", exports.download, name="export-file"),
    path("exports/<int:pk>/cancel/", exports.cancel, name="export-cancel"),
    path("exports/<int:pk>/remove/", exports.remove, name="export-remove"),
]
