"""The process that keeps a worker's promises: heartbeat, promotion, rescue, pruning."""
