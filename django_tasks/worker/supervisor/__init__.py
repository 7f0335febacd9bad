"""The parent of a worker's processes: starts, replaces, scales and stops them."""
