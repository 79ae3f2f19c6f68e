-- purge BEFORE_MS COUNT -> {seq, purged}: forget up to COUNT runs that were closed by then; one whose body runs is kept.
local purged = 0
for _, id in ipairs(call('ZRANGEBYSCORE', CLOSED_RUNS, '-inf', ARGV[3], 'LIMIT', 0, ARGV[4])) do
  local state = call('HGET', RUN .. id, 'state')
  if state == 'closed' or not state then
    call('DEL', RUN .. id, EVENTS .. id)
    call('ZREM', CLOSED_RUNS, id)
    purged = purged + 1
  end
end
return {next_seq(), purged}
