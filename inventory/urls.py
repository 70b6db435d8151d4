"""Addresses of the page "Repository images"."""

from django.urls import path

from inventory import views

app_name = "inventory"
urlpatterns = [
    path("", views.image_list, name="image-list"),
    path("columns/", views.image_columns, name="image-columns"),
    path("export/", views.image_export, name="image-export"),
    path("<int:tag_id>/", views.image, name="image"),
]
