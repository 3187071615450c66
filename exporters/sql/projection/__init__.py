"""T2 and T3: update the application's own rows with the figures of its runs."""
