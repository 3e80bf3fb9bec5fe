"""All that knows of ``datasets``, and the processes that it starts."""
