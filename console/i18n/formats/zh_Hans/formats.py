"""Simplified Chinese: thousands are set apart as in all tables of the console."""

THOUSAND_SEPARATOR = ","
NUMBER_GROUPING = 3
