"""Forms of registries and of cloud accounts."""
