"""Scheduled scans."""
