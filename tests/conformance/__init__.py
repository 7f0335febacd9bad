"""What the store promises, the same on PostgreSQL, MariaDB, MySQL and SQLite."""
