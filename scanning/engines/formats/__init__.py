"""Archives and packed files, read without extracting anything."""
