"""What scans have found: stored, counted, judged, listed."""
