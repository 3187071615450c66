"""The database: its tables, and how runs come into them and into the rows of the application."""
