"""The overview: whether all is well, at a glance."""
