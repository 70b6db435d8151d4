"""Test connection: each step from DNS to reading part of an image."""
