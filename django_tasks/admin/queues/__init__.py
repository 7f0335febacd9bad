"""The page of queues."""
