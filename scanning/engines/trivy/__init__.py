"""Trivy: packages, vulnerabilities and sensitive data."""
