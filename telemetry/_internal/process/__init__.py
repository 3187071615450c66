"""State of the whole process: signals, forks, garbage collection, abandoned streams, standard output."""
