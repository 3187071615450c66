"""Internal foundations, not part of the public API.

The run in the OpenTelemetry Context, what is recorded of it and by whom; the guard that stops our own errors;
patches of libraries; values and files. :mod:`.process` is about forks, signals, streams and garbage
collection, :mod:`.urls` about addresses and the passwords in them.
"""
