"""What the Django admin of all apps shares."""
