"""Signing in and out."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import views
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


class SignIn(views.LoginView):
    template_name = "console/sign_in.html"
    redirect_authenticated_user = True


class SignOut(views.LogoutView):
    pass


def locked_out(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """Answer a sign-in that was tried too often."""
    return render(request, "console/locked_out.html", status=429)
