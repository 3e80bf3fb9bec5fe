"""Measure the speed, memory and reads of imagenet_subsets and of its rivals: see ``python -m benchmarks -h``."""
