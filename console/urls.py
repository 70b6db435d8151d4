"""Addresses of the console. Each app brings its own; ``console`` is the only one to know all of them."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("console.pages")),
    path("registries/", include("registries.urls")),
    path("images/", include("inventory.urls")),
    path("scans/", include("scanning.urls")),
    path("admin/", admin.site.urls),
]
