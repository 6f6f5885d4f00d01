"""The compiled event timeline."""
