"""Access to a database: engines, transactions, statements, and values that fit their columns."""
