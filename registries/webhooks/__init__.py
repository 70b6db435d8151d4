"""Push events that registries send."""
