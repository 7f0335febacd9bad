"""Redis (or Valkey) hands out the ids of ready tasks."""
