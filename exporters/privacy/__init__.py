"""Privacy: which parts of spans and logs may leave the process, and hashes for names of documents."""
