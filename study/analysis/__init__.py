"""Tables from stored results: summaries, tuning, comparisons, the post, the notebook, the audit."""
