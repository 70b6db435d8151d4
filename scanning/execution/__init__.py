"""The scan of one image, step by step."""
