"""People: signing in and out, the second factor, single sign-on, and sessions."""
