"""Makers of archives for the tests: tars by hand, every layout, images."""
