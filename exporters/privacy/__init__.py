"""What may leave the process in spans and logs: the rules, and the exporters that apply them."""
