-- open RUN INBOX QUEUE_LIMIT DEADLINE_MS N NCRIT MAXC WAVE ORDER STRAT SEGS NP BODY LANES QUEUES MARKS PRIO AFTER RULES
--   KEY DIGEST LATEST QUEUE_MS SEEN (FIELD VALUE)... -> {seq, opened | exists, ready, more_runs} or {seq, full, queue, pending} or {seq, no_room, used, limit}
--   or {seq, missing | crowded | same | conflict, run} or {seq, epoch}
-- LANES, QUEUES, RULES: lines "name<TAB>count" (parcels in a lane; steps on a queue; decisions by a rule). AFTER: run ids by
-- commas that must have settled before this one begins. KEY: the run that has it is returned, if its plan has the same DIGEST.
-- LATEST: the run that has this place is cancelled. QUEUE_MS: how long it may wait for its first step to start.
-- SEEN: the sequence the client was told last; in another epoch what it knows of the site is out of date. Accepts the run whole, or changes nothing.
local run, inbox, queue_limit, deadline_ms, n, ncrit = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local maxc, wave, order, strat, segs, np, body = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14], ARGV[15]
local lane_counts, queue_counts, marks, prio, after, rules = ARGV[16], ARGV[17], ARGV[18], ARGV[19], ARGV[20], ARGV[21]
local key, digest, latest, queue_ms, seen = ARGV[22], ARGV[23], ARGV[24], ARGV[25], tonumber(ARGV[26])
local FIELDS_AT = 27
local SUPERSEDED_GRACE_MS = 5000
local seq = tonumber(call('HGET', SITE, 'seq') or '0')

-- Nothing is written, which a full Redis would not allow, and what was staged is taken back.
local function refused(...)
  call('DEL', RUN .. run)
  return {seq, ...}
end

if seen > 0 and (seq < seen or epoch_of(seq) ~= epoch_of(seen)) then return {seq, 'epoch'} end
if call('HEXISTS', RUN .. run, 'state') == 1 then
  return {seq, 'exists', {}, {}}
end
if key ~= '' then
  local owner, of_plan = string.match(call('GET', KEY .. key) or '', '^([^|]*)|(.*)$')
  if owner and call('HEXISTS', RUN .. owner, 'state') == 1 then
    return refused(of_plan == digest and 'same' or 'conflict', owner)
  end
end
local used, memory_limit = no_room()
if used then return refused('no_room', used, memory_limit) end
local before = latest ~= '' and call('GET', LATEST .. latest)
local B = before and run_of(before)
if B and (get(B, 'state') ~= 'open' or get(B, 'stop') ~= '') then B = nil end
local queues, lanes, leaders = {}, {}, {}
for queue, count in string.gmatch(queue_counts, '([^\n\t]*)\t(%d+)') do
  local pending = tonumber(call('HGET', PENDING, queue) or '0')
  if B then pending = pending - count_of(B, 'qp:' .. queue) end
  if pending + count > queue_limit then return refused('full', queue, tostring(pending)) end
  queues[queue] = count
end
for id in string.gmatch(after, '[^,]+') do
  local L = run_of(id)
  if not L then return refused('missing', id) end
  local _, followers = string.gsub(get(L, 'next'), ',', '')
  if followers >= SLICE then return refused('crowded', id) end
  if get(L, 'state') == 'open' then leaders[#leaders + 1] = L end
end
local fields = {'state', 'open', 'created', NOW_US_TEXT, 'deadline', num(NOW + deadline_ms * 1000), 'n', n, 'left', n,
  'ncrit', ncrit, 'crit_left', ncrit, 'maxc', maxc, 'wave', wave, 'order', order, 'strat', strat, 'segs', segs,
  'np', np, 'body', body, 'seg', '', 'watch', inbox, 'prio', prio}
local function field(name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
for lane, count in string.gmatch(lane_counts, '([^\n\t]*)\t(%d+)') do
  lanes[#lanes + 1] = lane
  field('ln:' .. lane, count)
end
for queue, count in pairs(queues) do
  field('qp:' .. queue, count)
  call('ZADD', BACKLOG .. queue, NOW_MS_TEXT, run)
end
if #lanes > 0 then field('later', table.concat(lanes, '\n')) end
if after ~= '' then field('after', after) end
if epoch_of(seq) > 0 then field('ep', num(epoch_of(seq))) end
if queue_ms ~= '' then field('qms', queue_ms) end
if key ~= '' then
  field('key', key)
  call('SET', KEY .. key, run .. '|' .. digest)
end
if latest ~= '' then
  field('latest', latest)
  call('SET', LATEST .. latest, run)
end
if B then
  stop_run(B, 'cancelled', 'Superseded', 'run ' .. run .. ' took its place', SUPERSEDED_GRACE_MS)
  for at = #leaders, 1, -1 do -- it may have been one of those to wait for, and have settled just now
    if get(leaders[at], 'state') ~= 'open' then table.remove(leaders, at) end
  end
end
if #leaders > 0 then field('waits', tostring(#leaders)) end
local function write(pairs_, from)
  for at = from, #pairs_, 2 * SLICE do
    call('HSET', RUN .. run, unpack(pairs_, at, math.min(at + 2 * SLICE - 1, #pairs_)))
  end
end
write(fields, 1)
write(ARGV, FIELDS_AT)
call('PERSIST', RUN .. run)
call('ZADD', OPEN_RUNS, NOW_MS_TEXT, run)
if inbox ~= '' then call('SET', ALIVE .. inbox, '1', 'EX', ALIVE_S) end
for queue, count in pairs(queues) do call('HINCRBY', PENDING, queue, count) end
confirm_published(marks)
call('HSETNX', STATS, 'since', NOW_MS_TEXT)
add(SITE_COUNTS, 'scheduled', 1)
add(SITE_COUNTS, 'priority', tonumber(prio))
for rule, count in string.gmatch(rules, '([^\n\t]*)\t(%d+)') do add(SITE_COUNTS, 'rule|' .. rule, tonumber(count)) end
local R = run_of(run)
for _, L in ipairs(leaders) do put(L, 'next', get(L, 'next') .. run .. ',') end
if #leaders > 0 then emit(R, 'run.waiting') end
follow(R)
save_runs()
return {next_seq(), 'opened', READY, MORE}
