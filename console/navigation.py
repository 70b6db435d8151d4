"""What stands in the sidebar, and what every page needs to know."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


def context(request: HttpRequest) -> dict[str, Any]:
    """Return what base.html needs."""
    return {}
