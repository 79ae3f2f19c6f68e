"""What developers and CI run: nothing of it is shipped."""
