"""The error that says what is wrong with an archive."""


class ArchiveError(ValueError):
    """An archive is not what it should be. The message says which one, what was found and what to do."""
