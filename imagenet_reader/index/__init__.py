"""The kept index of an archive."""
