"""The page that lists all metrics, tables and views, and which of them nobody uses."""
