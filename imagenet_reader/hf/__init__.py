"""Everything that depends on ``datasets``, and the processes that it starts."""
