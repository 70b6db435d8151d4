"""Addresses of the console's own pages."""

from django.urls import path
from django.views.generic import RedirectView

from console import accounts

app_name = "console"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="inventory:image-list"), name="home"),
    path("sign-in/", accounts.SignIn.as_view(), name="sign-in"),
    path("sign-out/", accounts.SignOut.as_view(), name="sign-out"),
]
