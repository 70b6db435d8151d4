"""The lists that the apps have registered, by name: pages, exports and saved views find them here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from console.extension_points import ExtensionPoint
from console.listing.listing import Listing


@dataclass(frozen=True)
class RegisteredListing:
    """A list, and the URL names of its pages.

    ``page`` shows it by itself; "" if it is part of the page of one thing. On ``drawer_page`` its rows open in the
    drawer, which then keeps the address of that page: see :mod:`console.listing.detail_panel`.
    """

    listing: Listing[Any]
    page: str = ""
    drawer_page: str = ""


LISTINGS: ExtensionPoint[RegisteredListing] = ExtensionPoint("list")


def register(listing: Listing[Any], *, page: str = "", drawer_page: str = "") -> None:
    """Add ``listing`` under its own name. Raises ImproperlyConfigured if the name is taken."""
    LISTINGS.register(listing.name, RegisteredListing(listing, page, drawer_page))


def get_listing(name: str) -> Listing[Any]:
    """Return the list of that name. Raises KeyError where there is none."""
    return LISTINGS[name].listing


def page_url_name(name: str) -> str:
    """Return the URL name of the page that shows the list; "" where it is part of another page, or is no more."""
    return LISTINGS[name].page if name in LISTINGS else ""


def has_drawer(page: str) -> bool:
    """Whether rows of a list open in the drawer of the page of that URL name."""
    return any(page == registered.drawer_page for registered in LISTINGS.values() if registered.drawer_page)
