"""YARA-X: viruses and trojans by rules."""
