"""How an image was built, with the secrets in its steps masked."""
