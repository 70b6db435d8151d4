"""ClamAV: viruses and trojans by the signatures of a clamd."""
