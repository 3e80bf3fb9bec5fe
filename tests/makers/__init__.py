"""Makers of archives for the tests: handmade tars, every layout, images."""
