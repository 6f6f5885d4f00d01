"""A network on a machine, event by event."""
