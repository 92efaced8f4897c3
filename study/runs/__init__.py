"""A run as data: its settings and identity, its random streams, and the columns of its row."""
