"""Feedback after an action: toasts, and the offer to undo it."""
