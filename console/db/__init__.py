"""What the console adds to Django's database layer: clock, locks, cached counts, statement timeout, search indexes."""
