"""The way through: the Celery task, the pipelines of a parcel, and the keeper."""

from pathlib import Path

import config

if not hasattr(config, "refuse_foreign"):
    raise ImportError(f"{config!r} shadows Stepline's {Path(__file__).parents[1] / 'config'}: rename it")
