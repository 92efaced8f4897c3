"""How the state carries the pattern: `python -m study.dynamics RESULTS`."""
