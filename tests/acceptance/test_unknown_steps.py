"""Steps that somebody lacks: a worker, which leaves them to others, or the producer, which asks the workers' lists."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from producer import Producer, Run
from steps import load_step_modules
from tests.support.processes import ROOT, python_program, wait_until
from tests.support.worker_sites import WorkerSite

RARE_STEPS = "tests.support.rare_steps"

FINISH_S = 30.0

WITHOUT_CODE = """
import json
from producer import Producer, Run
from steps import InvalidBatch, StepRegistry
said = {"registered": len(StepRegistry())}
with Producer() as producer:
    for label, batch in json.loads(input()).items():
        try:
            result = producer.run(batch, timeout=20)
            said[label] = [one.value for one in result.outcomes]
        except InvalidBatch as error:
            said[label] = [type(error).__name__, [[one.path, one.message] for one in error.problems]]
            said[label] += [list(error.nearest)] if hasattr(error, "nearest") else []
print(json.dumps(said))
"""


def test_a_worker_that_lacks_a_step_parks_it_and_one_that_knows_it_runs_it(
    site: WorkerSite, producer: Producer
) -> None:
    load_step_modules((RARE_STEPS,))  # Here it is known: the producer takes it.
    run = producer.submit([{"name": "GetRareStep", "params": {"value": 1}}, "GetEchoStep"])
    _wait_until_parked(site, run)
    assert next(run.outcomes()).id == "GetEchoStep"
    assert not site.is_settled(run.id)
    with _worker(site, "parallel") as worker:
        outcome = run.gather(timeout=FINISH_S).outcomes[0]
        # Those that could not even begin it have not attempted it.
        assert (outcome.status, outcome.value, outcome.attempts) == ("succeeded", 1, 1)
        assert str(worker.pid) in (outcome.worker or "")
        worker.terminate()
        _, err = worker.communicate(timeout=FINISH_S)
        assert worker.returncode == 0, err


def test_a_parked_critical_step_leaves_its_lane(site: WorkerSite, producer: Producer) -> None:
    load_step_modules((RARE_STEPS,))
    run = producer.submit([{"name": "WriteRareStep", "params": {"value": 2}}])
    _wait_until_parked(site, run)
    assert producer.run(["WriteEchoStep"], timeout=20).ok
    assert not site.is_settled(run.id)
    run.cancel()
    (outcome,) = run.gather(timeout=20).outcomes
    assert (outcome.status, outcome.attempts) == ("cancelled", 0)


def test_a_producer_without_the_code_refuses_what_no_worker_listed_and_names_the_nearest(site: WorkerSite) -> None:
    batches = {
        "unknown": ["GetEchoStep", "GetEchoStp", {"name": "WriteJurnalStep"}],
        "nothing like it": ["Zzz"],
        "missing": ["GetTextStep"],
        "surplus": [{"name": "GetEchoStep", "params": {"valeu": 1}}],
        "known": [{"name": "GetTextStep", "params": {"length": 3}}, {"name": "WriteEchoStep", "params": {"value": 5}}],
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CODE],
        env=site.joining(STEPLINE_STEP_MODULES=""),
        input=json.dumps(batches),
        capture_output=True,
        text=True,
        check=False,
        timeout=FINISH_S,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["registered"] == 0
    kind, problems, nearest = said["unknown"]
    assert kind == "UnknownStep"
    assert [path for path, _ in problems] == ["steps[1]", "steps[2].name"]
    assert "GetEchoStep" in problems[0][1]
    assert "WriteJournalStep" in problems[1][1]
    assert "GetEchoStep" in nearest
    assert said["nothing like it"][0] == "UnknownStep"
    assert said["nothing like it"][2] == []
    assert said["missing"][0] == "InvalidBatch"
    assert [path for path, _ in said["missing"][1]] == ["steps[0].params.length"]
    assert [path for path, _ in said["surplus"][1]] == ["steps[0].params.valeu"]
    assert said["known"] == ["xxx", 5]


def _wait_until_parked(site: WorkerSite, run: Run) -> None:
    wait_until(lambda: any(event["event"] == "step.parked" for event in site.events(run.id)))


@contextmanager
def _worker(site: WorkerSite, queue: str) -> Iterator[subprocess.Popen[str]]:
    """Run one more worker, which knows the rare steps and no others."""
    environment = site.joining(STEPLINE_STEP_MODULES=RARE_STEPS)
    with python_program(["-P", "-m", "workers", "--queue", queue], environment=environment, cwd=ROOT) as worker:
        yield worker
