"""Internal foundations: run context, error guard, signals, forks, secrets. Not part of the public API."""
