"""Addresses of the console's own pages."""

from django.urls import path

from console import accounts

app_name = "console"
urlpatterns = [
    path("", accounts.home, name="home"),
    path("sign-in/", accounts.SignIn.as_view(), name="sign-in"),
    path("sign-out/", accounts.SignOut.as_view(), name="sign-out"),
    path("preferences/", accounts.preferences, name="preferences"),
]
