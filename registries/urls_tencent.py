"""Addresses of the keys of Tencent Cloud, below those of the page "Image repository management"."""

from django.urls import path

from registries import views_tencent as views

urlpatterns = [
    path("tencent/", views.account_list, name="tencent-account-list"),
    path("tencent/add/", views.account_add, name="tencent-account-add"),
    path("tencent/<int:pk>/", views.account_edit, name="tencent-account-edit"),
    path("tencent/<int:pk>/discover/", views.account_discover, name="tencent-account-discover"),
    path("tencent/<int:pk>/restore/", views.account_restore, name="tencent-account-restore"),
    path("tencent/<int:pk>/delete/", views.account_delete, name="tencent-account-delete"),
]
