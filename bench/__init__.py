"""Benchmarks: each prints ratios of things measured in one run, interleaved, on this machine."""

import sys
from pathlib import Path

# The functions' code is no installed package: Lambda unpacks it where Python looks.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
