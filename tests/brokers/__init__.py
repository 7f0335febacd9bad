"""Brokers beside the database: what they are given, lose, repeat and make up."""
