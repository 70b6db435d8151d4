"""Finds a list by its name: settings.LISTINGS is the table."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from console.listing.listing import Listing


def get_listing(name: str) -> Listing[Any]:
    """Return the list of that name. Raises KeyError where there is none."""
    found: Listing[Any] = import_string(settings.LISTINGS[name]["declared"])
    return found


def page_url_name(name: str) -> str:
    """Return the URL name of the page that shows the list; "" where it is part of another page, or is no more."""
    return str(settings.LISTINGS.get(name, {}).get("page", ""))
