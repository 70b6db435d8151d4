"""What a person is told after an action: toasts, and the offer to undo it."""
