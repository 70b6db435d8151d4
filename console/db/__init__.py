"""What the console needs of its database beside Django's own."""
