-- purge BEFORE_MS FIRST COUNT -> {seq, seen, purged}
-- Looks at COUNT runs that were closed by then, from the FIRST oldest, and forgets them. One whose body runs is kept, and
-- one whose code may still run in a lane: the lane is opened through it.
local seen, purged = call('ZRANGEBYSCORE', CLOSED_RUNS, '-inf', ARGV[3], 'LIMIT', ARGV[4], ARGV[5]), 0
for _, id in ipairs(seen) do
  local R = run_of(id)
  if not R or (get(R, 'state') == 'closed' and get(R, 'hold') == '') then
    if R and get(R, 'key') ~= '' then call('DEL', KEY .. get(R, 'key')) end
    call('DEL', RUN .. id, EVENTS .. id)
    call('ZREM', CLOSED_RUNS, id)
    purged = purged + 1
  end
end
return {next_seq(), #seen, purged}
