"""The steps of a scan, each in a module named for it. Their order is STEPS in scanning/execution/pipeline.py."""
