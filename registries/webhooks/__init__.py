"""What registries report of pushes."""
