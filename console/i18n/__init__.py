"""Words for people: stored messages, lists of words, and the columns that keep messages."""
