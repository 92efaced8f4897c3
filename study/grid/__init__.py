"""From a grid file to stored rows: the file, the plan, the workers, the store."""
