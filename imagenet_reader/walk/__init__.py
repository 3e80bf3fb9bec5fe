"""The walk over all headers of an archive."""
