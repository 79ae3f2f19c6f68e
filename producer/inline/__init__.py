"""The in-process engines: the same plans with no broker."""
