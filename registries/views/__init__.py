"""The pages of "Image repository management"."""
