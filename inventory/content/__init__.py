"""Manifests, images and layers as rows, and what proves that a registry holds them."""
