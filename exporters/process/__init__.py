"""The parts of one process put together, and what happens at its end."""
