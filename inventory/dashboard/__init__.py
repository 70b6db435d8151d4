"""The figures above Repository images, and their trend."""
