"""One sync of one registry: what it lists becomes rows."""
