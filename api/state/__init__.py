"""What outlives a request: runs and their events, keys, usage. SQLite by default, Postgres by setting; the same SQL on both."""
