"""T2 and T3: what the application's own rows show of its runs."""
