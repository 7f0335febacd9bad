"""Build the distribution and use it as a stranger would: `python -m tests.packaging`."""
