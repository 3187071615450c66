"""The parts of one process put together, in its forked children, too, and what happens at its end."""
