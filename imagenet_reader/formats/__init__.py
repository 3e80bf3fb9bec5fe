"""How one image lies in a file."""
