"""Benchmarks: the study's compiled loop against what else trains small recurrent networks.

`python -m benchmarks --help`. The study itself does not import this package.
"""
