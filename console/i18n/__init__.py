"""Words for people: stored messages, lists of words, and the extraction of texts to translate."""
