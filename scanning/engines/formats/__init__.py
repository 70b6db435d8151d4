"""Archives and compressed files, read without extracting anything."""
