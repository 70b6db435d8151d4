"""Registries found by the key of a cloud."""
