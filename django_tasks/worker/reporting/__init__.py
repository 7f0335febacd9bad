"""Log lines and signals that tell what became of tasks."""
