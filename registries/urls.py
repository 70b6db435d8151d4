"""Addresses of the page "Image repository management"."""

from django.urls import path

from registries import urls_tencent, views

app_name = "registries"
urlpatterns = [
    path("", views.registry_list, name="registry-list"),
    path("progress/", views.progress, name="progress"),
    path("add/", views.registry_add, name="registry-add"),
    path("name/", views.check_name, name="check-name"),
    path("sync/", views.sync_all, name="sync-all"),
    path("<int:pk>/", views.registry_detail, name="registry-detail"),
    path("<int:pk>/edit/", views.registry_edit, name="registry-edit"),
    path("<int:pk>/delete/", views.registry_delete, name="registry-delete"),
    path("<int:pk>/sync/", views.sync, name="sync"),
    path("<int:pk>/cancel-sync/", views.cancel_sync, name="cancel-sync"),
    *urls_tencent.urlpatterns,
]
