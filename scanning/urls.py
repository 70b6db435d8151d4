"""Addresses of scans, and of the findings tabs of an image."""

from django.urls import path

from scanning import engine_views, tabs, views

app_name = "scanning"
urlpatterns = [
    path("start/", views.scan, name="scan"),
    path("cancel/", views.cancel, name="cancel"),
    path("engines/", engine_views.engines, name="engines"),
    path("engines/update/", engine_views.update_database, name="update-database"),
    path("engines/cancel/", engine_views.cancel_update, name="cancel-update"),
    path("progress/", views.progress, name="progress"),
    path("images/<int:tag_id>/vulnerabilities/", tabs.vulnerabilities, name="vulnerabilities"),
    path("images/<int:tag_id>/malware/", tabs.malware, name="malware"),
    path("images/<int:tag_id>/sensitive/", tabs.sensitive, name="sensitive"),
    path("images/<int:tag_id>/packages/", tabs.packages, name="packages"),
    path("images/<int:tag_id>/history/", tabs.history, name="history"),
]
