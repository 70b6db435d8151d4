"""Addresses of the console. Each app brings its own; ``console`` is the only one to know all of them."""

from django.contrib import admin
from django.urls import include, path

from console.accounts import sign_in

# Second factors and accounts of the provider hold secrets, and are no business of support staff.
for _model in [model for model in admin.site._registry if model.__module__.startswith("allauth.")]:
    admin.site.unregister(_model)

handler500 = "console.pages.errors.server_error"

urlpatterns = [
    path("", include("console.pages.urls")),
    path("registries/", include("registries.urls")),
    path("images/", include("inventory.urls")),
    path("scans/", include("scanning.urls")),
    path("admin/login/", sign_in.admin_sign_in),
    path("admin/", admin.site.urls),
]
