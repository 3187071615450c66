"""Privacy: what of spans and logs may leave the process, and the hash of the name of a document."""
