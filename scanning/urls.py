"""Addresses of scans, and of the findings tabs of an image."""

from django.urls import path

from scanning import tabs
from scanning.views import chooser, engines, reach, rematches, runs, scans, schedules, settings

app_name = "scanning"
urlpatterns = [
    path("start/", scans.scan, name="scan"),
    path("cancel/", scans.cancel, name="cancel"),
    path("settings/", settings.settings, name="settings"),
    path("settings/cost/", settings.cost, name="cost"),
    path("settings/select/", settings.select, name="select"),
    path("settings/quota/", settings.scan_quota, name="quota"),
    path("selections/<int:pk>/", chooser.chooser, name="chooser"),
    path("runs/", runs.run_list, name="run-list"),
    path("runs/progress/", runs.run_list_progress, name="run-list-progress"),
    path("runs/columns/", runs.run_columns, name="run-columns"),
    path("runs/export/", runs.run_export, name="run-export"),
    path("runs/<int:pk>/", runs.run, name="run"),
    path("runs/<int:pk>/progress/", runs.run_progress, name="run-progress"),
    path("runs/<int:pk>/cancel/", runs.run_cancel, name="run-cancel"),
    path("runs/<int:pk>/again/", runs.run_again, name="run-again"),
    path("schedules/", schedules.schedule_list, name="schedule-list"),
    path("schedules/add/", schedules.schedule_edit, name="schedule-add"),
    path("schedules/<int:pk>/", schedules.schedule_edit, name="schedule"),
    path("schedules/<int:pk>/run/", schedules.schedule_run, name="schedule-run"),
    path("schedules/<int:pk>/delete/", schedules.schedule_delete, name="schedule-delete"),
    path("engines/", engines.engines, name="engines"),
    path("engines/update/", engines.update_database, name="update-database"),
    path("engines/cancel/", engines.cancel_update, name="cancel-update"),
    path("engines/rematch/", rematches.start, name="start-rematch"),
    path("engines/rematch/cancel/", rematches.cancel, name="cancel-rematch"),
    path("rematches/<int:pk>/", rematches.rematch, name="rematch"),
    path("vulnerabilities/", reach.vulnerability_list, name="vulnerability-list"),
    path("vulnerabilities/columns/", reach.vulnerability_columns, name="vulnerability-columns"),
    path("vulnerabilities/export/", reach.vulnerability_export, name="vulnerability-export"),
    path("vulnerabilities/<int:pk>/export/", reach.vulnerability_images, name="vulnerability-images"),
    path("vulnerabilities/<path:name>/", reach.vulnerability, name="vulnerability"),
    path("packages/", reach.package_list, name="package-list"),
    path("packages/columns/", reach.package_columns, name="package-columns"),
    path("packages/export/", reach.package_export, name="package-export"),
    path("packages/<int:pk>/", reach.package, name="package"),
    path("packages/<int:pk>/export/", reach.package_images, name="package-images"),
    path("progress/", scans.progress, name="progress"),
    path("images/<int:tag_id>/vulnerabilities/", tabs.vulnerabilities, name="vulnerabilities"),
    path("images/<int:tag_id>/malware/", tabs.malware, name="malware"),
    path("images/<int:tag_id>/sensitive/", tabs.sensitive, name="sensitive"),
    path("images/<int:tag_id>/packages/", tabs.packages, name="packages"),
    path("images/<int:tag_id>/history/", tabs.history, name="history"),
]
