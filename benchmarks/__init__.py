"""Measure the cost of an optimizer update in the study's compiled loop and in other libraries.

The command is `python -m benchmarks`. A second command, `python -m benchmarks.scale`, measures the
time and memory it takes to plan a grid of a million runs and to load a million rows. The study
itself does not import this package.
"""
