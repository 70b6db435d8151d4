"""Addresses of the console. Each app brings its own; ``console`` is the only one to know all of them."""

from django.contrib import admin
from django.urls import include, path

from console import accounts

urlpatterns = [
    path("", include("console.pages")),
    path("registries/", include("registries.urls")),
    path("images/", include("inventory.urls")),
    path("scans/", include("scanning.urls")),
    path("admin/login/", accounts.admin_sign_in),
    path("admin/", admin.site.urls),
]
