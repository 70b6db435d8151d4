"""The programs of the console in production, their health, and the installation check."""
