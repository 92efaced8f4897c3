"""The ingredients of a run: tasks, cells, initialisations, optimizers, measures, and the choice of engine."""
