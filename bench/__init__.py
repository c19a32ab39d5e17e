"""Benchmarks: each prints ratios of things measured in one run, interleaved, on this machine."""
