"""Asking for syncs: by hand, every night, after a push."""
