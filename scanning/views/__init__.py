"""Views of scanning, a module a page."""
