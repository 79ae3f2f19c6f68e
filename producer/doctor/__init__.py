"""What ``stepline doctor`` checks, as data: the server, the site, the steps, the settings in force."""
