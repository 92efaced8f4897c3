"""The cost of an optimizer update in the study's compiled loop and in other libraries.

`python -m benchmarks` measures it. `python -m benchmarks.scale` measures what it costs to plan a
grid of a million runs and to load as many rows. The study itself does not import this package.
"""
