"""Helpers of several tests: expected rows, faults, a stand-in for the Hub, the pages of the manual."""
