"""Bugs to plant in the ledger's scripts: the machine that follows the model must find each of them."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from steps.ledger.scripts import SCRIPTS


@dataclass(frozen=True)
class Mutant:
    """A change to the text of the scripts; ``name`` says what goes wrong, ``story`` which scenario tells of it."""

    name: str
    text: str
    instead: str = ""
    story: str = ""

    def __str__(self) -> str:
        return self.name


MUTANTS = (
    Mutant("any fence may settle", "  if s.fence ~= fence then return '0' end\n"),
    Mutant("a settled step may be settled again", "  if s.state ~= 'running' then return '0' end\n"),
    Mutant("a held lane is granted again", " or get(R, 'hold') ~= '' or get(R, 'offered') ~= '1'", ""),
    Mutant("parallel steps do not wait for the critical ones", "  if not gate_is_open(R) then return {} end\n"),
    Mutant("max_concurrency is not kept", "count_of(R, 'maxc') - count_of(R, 'running'), SLICE", "SLICE"),
    Mutant("deaths are not counted", "    s.deaths = s.deaths + 1\n"),
    Mutant("announced ends are deaths", "if how == DIED_ALONE or", "if how == ANNOUNCED or how == DIED_ALONE or"),
    Mutant("deaths beside others are counted", "or how == WORKER_DIED and critical then", "or how == WORKER_DIED then"),
    Mutant("deaths in a lane are not counted", " or how == WORKER_DIED and critical then", " then"),
    Mutant("nobody is a suspect", "    put(R, 'q' .. i, '1')\n"),
    Mutant("announced ends make suspects", "elseif how == WORKER_DIED then", "else"),
    Mutant("a suspect makes suspects of all its run", " == '1' and get(R, 'q' .. i) == '1' end", " == '1' end"),
    Mutant(
        "fences are taken from the clock alone",
        "math.max((tonumber(call('HGET', SITE, 'fence')) or 0) + 1, NOW)",
        "NOW",
    ),
    Mutant(
        "fences are counted without the clock",
        "+ 1, NOW)\n  call('HSET', SITE, 'fence'",
        "+ 1, 0)\n  call('HSET', SITE, 'fence'",
    ),
    Mutant("the dead may claim", "  if call('EXISTS', WORKER .. worker) == 0 then return {}, false end\n"),
    Mutant("tickets do not count", "  if call('ZRANGE', LANE .. p.lane, 0, 0)[1] ~= R.id then return end\n"),
    Mutant(
        "settling frees the lane before the code has stopped",
        "    if vacated then free(R, s) end\n",
        "    free(R, s)\n",
    ),
    Mutant(
        "the next run in line is forgotten",
        "call('HDEL', LANES, lane) end\n  offer_head(lane)\n",
        "call('HDEL', LANES, lane) end\n",
    ),
    Mutant("a long wait keeps its place", "    put(R, 'away', '1')\n    leave_lanes(R)\n", "    put(R, 'away', '1')\n"),
    Mutant(
        "what ends unstarted stays pending",
        "  for queue, count in pairs(R.fixed) do call('HINCRBY', PENDING, queue, -count) end\n",
    ),
    Mutant("a claim that nobody knows of is left", "local R = not known_claims[claims[at]] and", "local R = false and"),
    Mutant("a released step is lost sight of", " .. i .. ',') end\nend", ") end\nend"),
    Mutant(
        "a place is not given back",
        "if most and call('SREM', PLACES .. name, claim_field(R, i)) == 1 then move_line(name) end",
    ),
    Mutant("a free place is offered to nobody", "== 1 then move_line(name) end", "== 1 then return end"),
    Mutant("a free place is not kept for the one in line", "        call('SADD', PLACES .. name, first)\n"),
    Mutant("max_running is not kept", "most and not is_kept and call('SCARD', PLACES .. name) >= most", "false"),
    Mutant("a place kept for a cancelled step is lost", "  if state == 'vacated' then leave_line(R, i) end\n"),
    Mutant("a cancelled step is run", "if step_of(R, cursor).state ~= 'vacated' and has_room", "if has_room"),
    Mutant(
        "a step that was cancelled while it ran is run again",
        "  if get(R, 'off' .. i) ~= '' then return 'cancelled', 'StepCancelled', get(R, 'off' .. i) end\n",
    ),
    Mutant(
        "a paused run keeps its place in line", "  emit(R, 'run.paused')\n  step_out(R)\n", "  emit(R, 'run.paused')\n"
    ),
    Mutant("a resumed run is not published again", "then\n    for parallel =", "then\n    for parallel = 1 +"),
    Mutant(
        "what is refused is counted",
        "  if s.fence ~= fence then return '0' end\n",
        "  if s.fence ~= fence then add(SITE_COUNTS, arg, 1); return '0' end\n",
    ),
    Mutant(
        "what is skipped is not counted",
        "  count_step(R, i, status, payload)\n",
        "  if s.attempts > 0 then count_step(R, i, status, payload) end\n",
    ),
)

STORY_MUTANTS = (
    Mutant(
        "a run does not come back for the others",
        "  put(R, 'away', '')\n  enter_lanes(R, lanes_ahead(R))\nend\nsave",
        "end\nsave",
        story="a_run_that_has_stepped_out_for_a_cancelled_step_comes_back_for_the_others",
    ),
    Mutant(
        "a follower is forgotten",
        "      if count_of(F, 'waits') == 0 then come_again(F) end\n",
        story="a_keeper_lets_a_run_begin_where_nobody_else_does",
    ),
    Mutant(
        "a run waits for none of those before it",
        "  if not has_begun(R) then return false end\n",
        story="a_run_begins_when_the_one_before_it_has_settled",
    ),
    Mutant(
        "a run of an earlier release begins again",
        " or get(R, 'prio') == '' end",
        " end",
        story="a_run_that_an_earlier_release_opened_has_begun",
    ),
    Mutant(
        "a deadline counts from the submission",
        "  put(R, 'deadline', num(NOW + allowed_us))\n",
        story="a_deadline_counts_from_a_runs_beginning",
    ),
    Mutant(
        "those in line for a start are overtaken",
        " and not overtakes then",
        " then",
        story="nobody_overtakes_those_in_line_for_a_start",
    ),
    Mutant(
        "a start is not noted", "  call('RPUSH', STARTS .. name, NOW_US_TEXT)\n", story="only_so_many_start_in_a_time"
    ),
    Mutant(
        "the line of a step with a rate is not looked at again",
        "  if at > NOW then move_line_at(name, at) end\n",
        story="only_so_many_start_in_a_time",
    ),
    Mutant(
        "a whole slice of cancelled steps hides the others",
        "call('ZADD', DUE, NOW_MS_TEXT, 'again:'",
        "tostring('again:'",
        story="more_cancelled_steps_than_one_call_may_touch_do_not_hide_those_behind",
    ),
    Mutant(
        "parcels that were cancelled whole stop a run",
        "    pass_on(R, k)\n  end\n",
        "    pass_on(R, k)\n    return offer(R)\n  end\n",
        story="parcels_that_were_cancelled_whole_hold_up_nothing",
    ),
    Mutant(
        "what may still run in a lane is purged",
        " and get(R, 'hold') == ''",
        "",
        story="a_run_whose_code_may_still_run_in_a_lane_is_kept",
    ),
    Mutant(
        "a paused run is granted its steps",
        " or get(R, 'paused') ~= '' or get(R, 'x'",
        " or get(R, 'x'",
        story="a_paused_run_starts_none_of_its_parallel_steps",
    ),
    Mutant(
        "a run paused while it held its lane keeps it",
        "      if get(R, 'paused') ~= '' then return step_out(R) end\n      return offer(R)",
        "      return offer(R)",
        story="a_paused_run_finishes_its_step_and_leaves_its_lane_to_others",
    ),
    Mutant(
        "a paused run whose worker died keeps its lane",
        "  if get(R, 'paused') ~= '' then return step_out(R) end\n  offer(R)\n",
        "  offer(R)\n",
        story="a_paused_run_whose_worker_dies_leaves_its_lane_to_others",
    ),
    Mutant(
        "a resumed run holds up its lane until it has a place",
        "get(R, 'held' .. i) == '' and (",
        "(",
        story="a_run_that_waits_for_a_place_comes_back_with_it_when_it_was_paused_meanwhile",
    ),
    Mutant(
        "a completion body is counted",
        "  if i == count_of(R, 'n') then\n",
        "  if i == count_of(R, 'n') then\n    count_step(R, i, status, payload)\n",
        story="a_completion_body_is_not_counted",
    ),
    Mutant(
        "a probe speaks of what was published after it",
        "  if p.out <= seen then return false end\n",
        story="a_probe_says_nothing_of_what_was_published_after_it",
    ),
    Mutant(
        "who got a message has no time to claim it",
        "  return left_ms <= 0, left_ms\n",
        "  return true, left_ms\n",
        story="what_is_not_claimed_after_its_probe_came_out_is_lost",
    ),
    Mutant(
        "what a live worker has got is taken for lost",
        "  busy = busy or is_received(queue, R.id .. ':' .. k)\n",
        story="what_a_live_worker_has_got_is_not_lost",
    ),
    Mutant(
        "what a dead worker had got is forgotten",
        "    send_again(card[2] or '')\n",
        story="what_a_dead_worker_had_got_is_published_at_once",
    ),
    Mutant(
        "probes multiply",
        "  if is_out and p.sent > seen or may_come_out(p) then return end\n",
        story="what_is_not_claimed_after_its_probe_came_out_is_lost",
    ),
    Mutant(
        "a lost probe is waited for",
        "  return p.out < p.sent and",
        "  return p.out < p.sent or",
        story="a_probe_that_may_be_lost_itself_is_followed_by_another_ever_later",
    ),
    Mutant(
        "probes are sent to a queue that nobody serves",
        " or call('SCARD', QUEUE .. queue) == 0 then return end\n  p.in_vain",
        " then return end\n  p.in_vain",
        story="a_queue_without_a_worker_gets_no_probe",
    ),
    Mutant(
        "what goes to another queue is sent there again and again",
        " and get(R, 'to' .. k) == to then",
        " and to == '' then",
        story="what_goes_to_another_queue_goes_there_once",
    ),
)
"""Bugs in what the machine does not try; a scenario must tell of each."""


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Put the bug into every script that has the text, for as long as the block lasts."""
    changed = {}
    for name, script in SCRIPTS.items():
        if mutant.text in script.text:
            text = script.text.replace(mutant.text, mutant.instead)
            digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            changed[name] = replace(script, text=text, digest=digest)
    assert changed, f"no script has the text of {mutant.name!r} any more"
    before = dict(SCRIPTS)
    SCRIPTS.update(changed)
    try:
        yield
    finally:
        SCRIPTS.update(before)
