"""What the figures of a day are checked for, and what is usual or comes by chance."""
