"""Workflows in the database: making them, going on with them, reading them."""
