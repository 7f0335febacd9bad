"""The only package that writes rows. `transitions` writes status, `dialects` knows SQL dialects."""
