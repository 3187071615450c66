"""T2 and T3: bring the application's own rows up to date with its runs."""
