"""The lists of registries and of their syncs."""
