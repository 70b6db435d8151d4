"""How numbers and dates are written, where that differs from what Django does in a language."""
