"""Keep secrets out of logs, lists and tracebacks."""
