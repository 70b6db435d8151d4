"""One declaration behind every list: its page, its filters, its column chooser and its workbook."""

from console.listing.columns import Column, Needs, Ranks
from console.listing.filters import AnyCondition, AnyOf, ListingFilterSet, ModelAnyOf, ValuesOf
from console.listing.listing import Listing
from console.listing.page import Page

__all__ = [
    "AnyCondition",
    "AnyOf",
    "Column",
    "Listing",
    "ListingFilterSet",
    "ModelAnyOf",
    "Needs",
    "Page",
    "Ranks",
    "ValuesOf",
]
