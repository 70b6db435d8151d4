"""Views of scanning, one module per page."""
