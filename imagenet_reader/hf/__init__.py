"""Everything that depends on ``datasets``."""
