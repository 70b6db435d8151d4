"""Addresses of the page "Image repository management"."""

from django.urls import path

from registries.views import connection, edit, lists, syncs, tencent, webhooks

app_name = "registries"
urlpatterns = [
    path("", lists.registry_list, name="registry-list"),
    path("columns/", lists.registry_columns, name="registry-columns"),
    path("export/", lists.registry_export, name="registry-export"),
    path("guide/", lists.guide, name="guide"),
    path("progress/", syncs.progress, name="progress"),
    path("add/", edit.registry_add, name="registry-add"),
    path("name/", edit.check_name, name="check-name"),
    path("test/", connection.form_test, name="form-test"),
    path("tests/<int:pk>/", connection.test, name="test"),
    path("delete/", edit.delete_chosen, name="delete-chosen"),
    path("sync/", syncs.sync_all, name="sync-all"),
    path("cancel-syncs/", syncs.cancel_all, name="cancel-all"),
    path("syncs/", syncs.sync_list, name="sync-list"),
    path("syncs/columns/", syncs.sync_columns, name="sync-columns"),
    path("syncs/export/", syncs.sync_export, name="sync-export"),
    path("events/<str:key>/", webhooks.ingest_event, name="receive-event"),
    path("events/<str:key>/<str:secret>/", webhooks.ingest_event, name="receive-event-with-secret"),
    path("<int:pk>/events/", webhooks.push_events, name="push-events"),
    path("<int:pk>/", lists.registry_detail, name="registry-detail"),
    path("<int:pk>/edit/", edit.registry_edit, name="registry-edit"),
    path("<int:pk>/delete/", edit.registry_delete, name="registry-delete"),
    path("<int:pk>/delete-again/", edit.retry_removal, name="delete-again"),
    path("<int:pk>/sync/", syncs.sync, name="sync"),
    path("<int:pk>/cancel-sync/", syncs.cancel_sync, name="cancel-sync"),
    path("<int:pk>/test/", connection.registry_test, name="registry-test"),
    path("tencent/", tencent.account_list, name="tencent-account-list"),
    path("tencent/add/", tencent.account_add, name="tencent-account-add"),
    path("tencent/<int:pk>/", tencent.account_edit, name="tencent-account-edit"),
    path("tencent/<int:pk>/discover/", tencent.account_discover, name="tencent-account-discover"),
    path("tencent/<int:pk>/restore/", tencent.account_restore, name="tencent-account-restore"),
    path("tencent/<int:pk>/delete/", tencent.account_delete, name="tencent-account-delete"),
]
