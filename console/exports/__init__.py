"""Exports of lists that are made in the background, and the files that come of them."""
