"""Programs that show Stepline at work; they run from a checkout and are not installed."""
