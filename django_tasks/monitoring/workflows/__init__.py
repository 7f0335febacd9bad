"""What there is to see of workflows, at a price that does not grow with the tables."""
