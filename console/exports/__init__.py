"""Exports of lists, written in the background, and their files."""
