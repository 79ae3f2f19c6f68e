"""Where each step of a batch goes: its queue, and its lane if it runs one at a time."""

from collections.abc import Sequence
from typing import NamedTuple

from config.settings import Settings
from producer.planning.batch import Batch
from producer.planning.batch_calls import BatchCall
from producer.planning.known_steps import Catalogue
from producer.planning.lanes import LaneError, lane_key
from producer.planning.refusal import Refusal
from producer.planning.routes import QueueRefused, Routes
from steps.classifier import Decision


class Place(NamedTuple):
    """A queue, and a lane for a step that runs one at a time."""

    queue: str
    lane: str | None


class Placement:
    """Places the steps of one batch.

    Args:
        batch: Whose lane and context hold where a call and its step say nothing.
        catalogue: What is known of the steps.
        settings: With the queues and the default lane.
        refusal: Takes what is wrong.
    """

    def __init__(self, batch: Batch, catalogue: Catalogue, settings: Settings, refusal: Refusal) -> None:
        self._batch = batch
        self._catalogue = catalogue
        self._settings = settings
        self._refusal = refusal
        self._routes = Routes(settings)

    def place_all(self, calls: Sequence[BatchCall], decisions: Sequence[Decision]) -> list[Place]:
        """Return a place for every call; what can't be placed is refused."""
        places = [self._place(call, decision) for call, decision in zip(calls, decisions, strict=True)]
        if self._batch.mode != "sequential":
            return places
        return self._side_by_side_ones_moved(places)

    def _place(self, call: BatchCall, decision: Decision) -> Place:
        lane = self._lane(call) if decision.critical else None
        return Place(self._queue(call, critical=decision.critical), lane)

    def _side_by_side_ones_moved(self, places: Sequence[Place]) -> list[Place]:
        """Let every step without a lane ride with the one before it that has one, for no lane switch."""
        first = next((place for place in places if place.lane is not None), None)
        current = first or Place(self._settings.critical_queue, self._lane_of_batch())
        moved = []
        for place in places:
            current = place if place.lane is not None else current
            moved.append(current)
        return moved

    def _queue(self, call: BatchCall, *, critical: bool) -> str:
        traits = self._catalogue.declared(call.name)
        wanted = None if traits is None else traits.queue
        try:
            return self._routes.queue_for(call.name, wanted, critical=critical)
        except QueueRefused as error:
            self._refusal.add(call.path, str(error))
            return self._settings.critical_queue

    def _lane(self, call: BatchCall) -> str:
        traits = self._catalogue.declared(call.name)
        if call.lane is not None:
            return self._key(call.lane, f"{call.path}.lane", call)
        if traits is not None and traits.lane is not None:
            return self._key(traits.lane, call.path, call)
        return self._lane_of_batch(call)

    def _lane_of_batch(self, call: BatchCall | None = None) -> str:
        template = self._batch.lane
        return self._settings.default_lane if template is None else self._key(template, "lane", call)

    def _key(self, template: str, path: str, call: BatchCall | None) -> str:
        known = None if call is None else self._catalogue.find(call.name)
        try:
            return lane_key(
                template,
                {} if call is None else call.params,
                self._batch.context,
                (lambda _: None) if known is None else known.default_of,
            )
        except LaneError as error:
            if self._refusal.has_sound_values(call):
                self._refusal.add(path, str(error))
            return self._settings.default_lane
