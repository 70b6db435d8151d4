"""Requesting syncs: manually, every night, after a push."""
