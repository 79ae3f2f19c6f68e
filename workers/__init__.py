"""The way through: Celery tasks, the pipeline of a parcel, the keeper and the launcher."""

from pathlib import Path

import config

if not hasattr(config, "refuse_foreign"):
    raise ImportError(f"{config!r} shadows Stepline's {Path(__file__).parents[1] / 'config'}: rename it")
