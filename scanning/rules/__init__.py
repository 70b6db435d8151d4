"""The YARA rules of the project, and those of the team for all machines."""
