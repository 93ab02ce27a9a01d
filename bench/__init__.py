"""Benchmarks of the frame codec beside its peers: ``python -m bench --help``."""
