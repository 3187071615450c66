"""Privacy of exported spans and logs: the rules, and the exporters that apply them."""
