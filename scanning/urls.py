from django.urls import URLPattern

app_name = "scanning"
urlpatterns: list[URLPattern] = []
