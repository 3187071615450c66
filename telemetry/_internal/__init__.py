"""Internal foundations, not part of the public API: run context, error guard, patches, secrets, values."""
