"""Translation: stored messages, lists of words, and the model fields for messages."""
