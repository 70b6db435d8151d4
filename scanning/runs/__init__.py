"""Scan runs: what starts, queues, cancels and shows them."""
