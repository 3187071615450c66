"""The thread that delivers what waits: T1, T2 and T3, again and again until all is done."""
