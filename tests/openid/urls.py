"""The addresses of the provider: the toolkit's, and Django's own sign-in."""

from django.contrib.auth.views import LoginView
from django.urls import include, path

urlpatterns = [path("login/", LoginView.as_view()), path("", include("oauth2_provider.urls"))]
