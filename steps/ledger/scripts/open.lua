-- open RUN INBOX QUEUE_LIMIT DEADLINE_MS N NCRIT MAXC WAVE ORDER STRAT SEGS NP BODY LANES QUEUES MARKS (FIELD VALUE)...
--   -> {seq, opened | exists, ready, more_runs} or {seq, full, queue, pending}
-- LANES and QUEUES: lines "name<TAB>count" (parcels in a lane; steps on a queue). Accepts the run whole, or changes nothing.
local run, inbox, queue_limit, deadline_ms, n, ncrit = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local maxc, wave, order, strat, segs, np, body = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14], ARGV[15]
local lane_counts, queue_counts, marks = ARGV[16], ARGV[17], ARGV[18]
local FIELDS_AT = 19
if call('HEXISTS', RUN .. run, 'state') == 1 then
  return {next_seq(), 'exists', {}, {}}
end
local queues, lanes = {}, {}
for queue, count in string.gmatch(queue_counts, '([^\n\t]*)\t(%d+)') do
  local pending = tonumber(call('HGET', PENDING, queue) or '0')
  if pending + count > queue_limit then return {next_seq(), 'full', queue, tostring(pending)} end
  queues[queue] = count
end
local fields = {'state', 'open', 'created', num(NOW), 'deadline', num(NOW + deadline_ms * 1000), 'n', n, 'left', n,
  'ncrit', ncrit, 'crit_left', ncrit, 'maxc', maxc, 'wave', wave, 'order', order, 'strat', strat, 'segs', segs,
  'np', np, 'body', body, 'seg', segs ~= '0' and '0' or '', 'watch', inbox}
for lane, count in string.gmatch(lane_counts, '([^\n\t]*)\t(%d+)') do
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
write(ARGV, FIELDS_AT)
call('PERSIST', RUN .. run)
if inbox ~= '' then call('SET', ALIVE .. inbox, '1', 'EX', ALIVE_S) end
for queue, count in pairs(queues) do call('HINCRBY', PENDING, queue, count) end
confirm_published(marks)
local R = run_of(run)
emit(R, 'run.started')
call('ZADD', DUE, num(NOW_MS + deadline_ms), 'deadline:' .. run)
if #lanes > 0 then enter_lanes(R, table.concat(lanes, '\n')) end
follow(R)
save_runs()
return {next_seq(), 'opened', READY, MORE}
