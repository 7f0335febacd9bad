"""The overview: whether all is well."""
