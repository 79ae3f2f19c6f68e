"""From what a caller hands over to a plan: read, checked, classified, placed and ordered."""
