"""Several machines with one PostgreSQL: who they are, which versions all use, and how files get from one to another."""
