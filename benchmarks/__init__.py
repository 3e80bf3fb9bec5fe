"""Measures the speed, memory and reads of imagenet_subsets against its rivals: see ``python -m benchmarks -h``."""
