"""Scan runs: starting, queueing, cancelling and showing them."""
