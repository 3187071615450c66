"""URLs of databases and services, and the passwords in them, which nobody may read."""
