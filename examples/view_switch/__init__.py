"""The view switch: what a backend asks for when its user opens another view, on real data."""
