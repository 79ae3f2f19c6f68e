"""What can go wrong with a site on this machine.

```
SteplineError
└── SiteError               a process of the site did not start or would not end
    ├── NoRedisServer       no usable Redis server program on this machine
    ├── EmbeddedRedisFailed the embedded Redis did not start
    └── SiteBusy            another live site owns the data folder
```
"""

from config.errors import SteplineError


class SiteError(SteplineError):
    """The site did not start, or not all of it would end; the message says which process and why."""


class NoRedisServer(SiteError):
    """No usable Redis server on this machine; the message says what was tried and what to install."""


class EmbeddedRedisFailed(SiteError):
    """The embedded Redis did not start; the message holds the end of its log."""


class SiteBusy(SiteError):
    """Another live site owns the data folder; the message says which process."""
