"""A vulnerability or a package across all images."""
