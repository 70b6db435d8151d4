"""What stands in the sidebar, and what every page needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console import visibility
from console.accounts.models import User
from console.server import health


@dataclass(frozen=True)
class NavigationItem:
    """A link of the sidebar. A page that does not exist (yet) is left out, so that no link is ever dead."""

    label: Promise
    view: str  # URL name
    icon: str
    key: str = ""  # g and this key go there
    permission: str = ""  # of Django, for a page of Django admin
    administrators: bool = False  # a page for administrators alone


SECTIONS: tuple[tuple[Promise, tuple[NavigationItem, ...]], ...] = (
    (
        _("Images"),
        (
            NavigationItem(_("Repository images"), "inventory:image-list", "images", key="i"),
            NavigationItem(_("Vulnerabilities"), "scanning:vulnerability-list", "bug", key="v"),
            NavigationItem(_("Packages"), "scanning:package-list", "package", key="p"),
            NavigationItem(_("Registries"), "registries:registry-list", "registry", key="r"),
            NavigationItem(_("Schedules"), "scanning:schedule-list", "calendar", key="s"),
        ),
    ),
    (
        _("Activity"),
        (
            NavigationItem(_("Scan runs"), "scanning:run-list", "scan"),
            NavigationItem(_("Jobs"), "console:job-list", "jobs", key="j"),
            NavigationItem(_("Exports"), "console:export-list", "download", key="x"),
        ),
    ),
    (
        _("Administration"),
        (
            NavigationItem(_("Scanners"), "scanning:engines", "shield", key="e"),
            NavigationItem(_("Audit trail"), "console:audit-list", "audit", key="a", administrators=True),
            NavigationItem(_("Installation check"), "console:security", "lock", administrators=True),
            NavigationItem(_("Users"), "admin:console_user_changelist", "users", permission="console.view_user"),
            NavigationItem(_("Teams"), "admin:console_team_changelist", "eye", permission="console.view_team"),
        ),
    ),
)


def sections(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sidebar for who is signed in: sections with the links that exist, the current one marked."""
    found = []
    for label, items in SECTIONS:
        links = []
        for item in items:
            if item.permission and not _may_open_admin_page(request, item.permission):
                continue
            if item.administrators and not getattr(request.user, "may_administer", False):
                continue
            try:
                url = reverse(item.view)
            except NoReverseMatch:
                continue
            links.append(
                {"label": item.label, "url": url, "icon": item.icon, "key": item.key}
                | {"current": request.path.startswith(url)}
            )
        if links:
            found.append({"label": label, "links": links})
    return found


def _may_open_admin_page(request: HttpRequest, permission: str) -> bool:
    """Whether Django admin lets who is signed in see the page of ``permission``."""
    return isinstance(request.user, User) and request.user.is_staff and request.user.has_perm(permission)


def context(request: HttpRequest) -> dict[str, Any]:
    """Return what base.html needs: navigation, health of the console with its notices, initials of the person."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or request.headers.get("HX-Request"):
        return {}
    name = user.get_full_name() or user.get_username()
    facts = health.facts()
    return {
        "navigation": sections(request),
        "health": facts,
        "notices": [fact.notice for fact in facts if fact.notice],
        "limit": visibility.current(),
        "initials": "".join(part[0] for part in name.replace(".", " ").split()[:2]).upper(),
    }


def home(request: HttpRequest) -> HttpResponse:
    """Lead to the first page of the sidebar."""
    return redirect(sections(request)[0]["links"][0]["url"])
