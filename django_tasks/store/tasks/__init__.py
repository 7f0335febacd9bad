"""Task records: enqueue, claim, end, prune. `transitions` is the only writer of `status`."""
