"""What a project's own pages ask about a task: signed tokens, and JSON about its progress."""
