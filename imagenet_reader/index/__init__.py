"""The cached index of an archive."""
