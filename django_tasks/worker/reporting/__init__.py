"""Report the outcomes of tasks: log lines and signals."""
