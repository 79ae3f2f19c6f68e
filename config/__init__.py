"""What a site decides: settings (read once, frozen), classification rules, queues and the Celery app."""

from config.shadow import refuse_foreign

__all__ = ["refuse_foreign"]

refuse_foreign()
