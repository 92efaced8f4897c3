"""The paper: its numbers, claims, tables and figures, each computed from stored results."""
