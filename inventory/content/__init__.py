"""Manifests, images and layers as rows, and the proofs that a registry contains them."""
