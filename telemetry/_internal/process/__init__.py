"""What belongs to the process: signals, forks, garbage collection, abandoned streams, standard output."""
