"""Make the files that this project publishes; for maintainers, and not part of the wheel."""
