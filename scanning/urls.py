"""Addresses of scans, and of the findings tabs of an image."""

from django.urls import path

from scanning import tabs
from scanning.views import chooser, engines, runs, scans, schedules, settings
    path("images/<int:tag_id>/vulnerabilities/", tabs.vulnerabilities, name="vulnerabilities"),
    path("images/<int:tag_id>/malware/", tabs.malware, name="malware"),
    path("images/<int:tag_id>/sensitive/", tabs.sensitive, name="sensitive"),
    path("images/<int:tag_id>/packages/", tabs.packages, name="packages"),
    path("images/<int:tag_id>/history/", tabs.history, name="history"),
]
