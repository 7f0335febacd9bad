"""Rows of workers and queues: leases, and requests that workers read."""
