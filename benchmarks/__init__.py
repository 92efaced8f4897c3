"""The cost of an optimizer update in the study's compiled loop and in other libraries.

`python -m benchmarks` measures it; `python -m benchmarks.scale` measures what a grid of a million
runs costs to plan and to load. The study itself does not import this package.
"""
