"""One vulnerability database, one set of rules and settings on all machines that scan."""
