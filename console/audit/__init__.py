"""The audit trail: who decided what, or was refused."""
