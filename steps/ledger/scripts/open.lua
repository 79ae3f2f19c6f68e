-- open RUN INBOX QUEUE_LIMIT DEADLINE_MS N NCRIT MAXC WAVE ORDER STRAT SEGS NP BODY LANES QUEUES MARKS (FIELD VALUE)...
--   -> {seq, opened | exists, ready, more_runs} or {seq, full, queue, pending}
-- LANES and QUEUES: lines "name<TAB>count" (parcels in a lane; steps on a queue). Accepts the run whole, or changes nothing.
local run, inbox = ARGV[3], ARGV[4]
if call('HEXISTS', RUN .. run, 'state') == 1 then
  return {next_seq(), 'exists', {}, {}}
end
local queues, lanes = {}, {}
for queue, count in string.gmatch(ARGV[17], '([^\n\t]*)\t(%d+)') do
  local pending = tonumber(call('HGET', PENDING, queue) or '0')
  if pending + count > tonumber(ARGV[5]) then return {next_seq(), 'full', queue, tostring(pending)} end
  queues[queue] = count
end
local fields = {'state', 'open', 'created', num(NOW), 'deadline', num(NOW + ARGV[6] * 1000), 'n', ARGV[7], 'left', ARGV[7],
  'ncrit', ARGV[8], 'crit_left', ARGV[8], 'maxc', ARGV[9], 'wave', ARGV[10], 'order', ARGV[11], 'strat', ARGV[12],
  'segs', ARGV[13], 'np', ARGV[14], 'body', ARGV[15], 'seg', ARGV[13] ~= '0' and '0' or '', 'watch', inbox}
for lane, count in string.gmatch(ARGV[16], '([^\n\t]*)\t(%d+)') do
  lanes[#lanes + 1] = lane
  fields[#fields + 1] = 'ln:' .. lane
  fields[#fields + 1] = count
end
local function write(pairs_, from)
  for at = from, #pairs_, 2 * SLICE do
    call('HSET', RUN .. run, unpack(pairs_, at, math.min(at + 2 * SLICE - 1, #pairs_)))
  end
end
write(fields, 1)
write(ARGV, 19)
call('PERSIST', RUN .. run)
if inbox ~= '' then call('SET', ALIVE .. inbox, '1', 'EX', ALIVE_S) end
for queue, count in pairs(queues) do call('HINCRBY', PENDING, queue, count) end
confirm_published(ARGV[18])
local R = run_of(run)
emit(R, 'run.started')
call('ZADD', DUE, num(NOW_MS + ARGV[6]), 'deadline:' .. run)
if #lanes > 0 then enter_lanes(R, table.concat(lanes, '\n')) end
follow(R)
save_runs()
return {next_seq(), 'opened', READY, MORE}
