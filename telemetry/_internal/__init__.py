"""What the rest stands on, for nobody's use outside: contexts, guards, signals, forks, secrets."""
