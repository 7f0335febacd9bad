"""
Tests that try to break the promises of the worker: real processes, signals and databases.

Ground truth is a ledger that the bodies write (`ledger`), never the queue; what the queue did is
read from an audit trail that the database itself keeps (`audit`). See README.md beside this file.
"""
