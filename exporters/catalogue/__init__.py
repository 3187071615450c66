"""The reference page of all metrics, tables and views, and the search for unused ones."""
