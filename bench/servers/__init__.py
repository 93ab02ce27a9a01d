"""Benchmark of whole servers and clients beside their peers: ``python -m bench.servers --help``."""
