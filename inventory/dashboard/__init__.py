"""The figures over Repository images, and their trend."""
