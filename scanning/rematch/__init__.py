"""A new vulnerability database gives stored packages new findings, without a pull."""
