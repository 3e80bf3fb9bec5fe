"""Walking over all headers of an archive."""
