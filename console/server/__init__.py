"""The programs of the console in real use, and how they are."""
