"""Brokers: who hands out the ids of ready tasks. The row always decides."""
