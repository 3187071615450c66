"""Connects the parts of a process, in forked children, too, and saves everything at its end."""
