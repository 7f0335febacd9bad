"""What code says of its tasks and schedules: options, registry, results, context."""
