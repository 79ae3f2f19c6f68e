-- tick WORKER MODE QUEUE INFO KNOWN REAP DEAD_CLAIMS HELD MARKS RUNS KNOWN_TTL_MS FALLBACK RECEIVED CAME_OUT
--   -> {seq, standing, ready, lost?, more_runs, next_due_ms, stops, (worker, beat)..., probes}
-- The keepers' one script. MODE: join (a new worker), beat, leave (an announced end), none (a waiting producer).
-- standing: alive, dead (declared dead: start again under a new id), leaving (call again), left or none.
-- REAP: lines "worker<TAB>beat", seen still for a whole lease. DEAD_CLAIMS: lines "RUN:INDEX<TAB>FENCE" of children that
-- are gone. HELD: lines RUN:INDEX, all that the worker knows it has claimed. MARKS: lines RUN:PARCEL, published.
-- RUNS: lines, runs to look after now. FALLBACK: the queue that takes parallel steps whose own has no worker. RECEIVED:
-- lines RUN:PARCEL, messages that the worker has and has not acknowledged, with leave those that it does not give back to the
-- broker. CAME_OUT: lines "queue<TAB>probe". lost?: parcels nobody has claimed, to publish again if their queue is empty.
-- probes: messages to send where the queue is not empty; what was published before one comes out before it.
local worker, mode, queue, info, known_json = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local reap, dead_claims, held, marks, runs, known_ttl_ms = ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local fallback, received, came_out = ARGV[14], ARGV[15], ARGV[16]
local LEFT_ALONE_MS, NEVER_SERVED_MS = 5 * 1000, 10 * 1000 -- so long a queue may be without a worker
local UNHELD_US = 10 * 1000000 -- a claim whose answer was lost is taken back after two leases
local DUE_A_TICK = 200
local FORGOTTEN_A_TICK = 100 -- steps that no worker has listed for long
local LOOKS_APART_S = 60 -- the longest pause between two looks at an unclaimed parcel
local MOST_DOUBLINGS = 5 -- of the pause between two looks at an unclaimed parcel, and of the wait for a probe
local PROBE_US = 8 * REPUBLISH_MS * 1000 -- so long a probe is waited for at least, before it may be lost itself
local lost, probes, standing = {}, {}, 'none'

local function lines(text) return string.gmatch(text, '[^\n]+') end

local function forget_worker(id)
  local of = call('HGET', WORKER .. id, 'queue')
  if of then
    call('SREM', QUEUE .. of, id)
    if call('SCARD', QUEUE .. of) == 0 then call('HSET', SITE, 'left|' .. of, NOW_MS_TEXT) end
  end
  call('SREM', WORKERS, id)
  call('DEL', WORKER .. id, STOPS .. id)
end

-- Take back a worker's claims, a slice at a time; true when none is left.
local function take_back(id, how)
  local claims = call('HGETALL', CLAIMS .. id)
  for at = 1, math.min(#claims, 2 * SLICE), 2 do take_back_one(id, claims[at], claims[at + 1], how) end
  return #claims <= 2 * SLICE
end

-- A parcel that is to be claimed, and whether somebody works on it: it has no need of a message then.
local function awaits_claim(R, k)
  if get(R, 'state') == 'closed' or get(R, 'stop') ~= '' then return false end
  if parcel_of(R, k).lane ~= '' then return get(R, 'seg') == k and get(R, 'offered') == '1', get(R, 'hold') ~= '' end
  return claimable(R, k) > 0 and gate_is_open(R), count_of(R, 'running') > 0
end

-- The messages that a worker had when it died, or gave up, and nobody has worked off are sent again at once.
local function send_again(parcels)
  for run, k in string.gmatch(parcels, '([^\n:]*):(%d+)') do
    local R = run_of(run)
    local is_awaited, busy = false, false
    if R and get(R, 'x' .. k) ~= '' then is_awaited, busy = awaits_claim(R, k) end
    if is_awaited and not busy then publish(R, k, 1) end
  end
end

if mode == 'join' or mode == 'beat' then
  if mode == 'join' then
    call('HSET', WORKER .. worker, 'queue', queue, 'info', info)
    call('SADD', WORKERS, worker)
    call('SADD', QUEUE .. queue, worker)
  end
  local card = call('HMGET', WORKER .. worker, 'queue', 'received')
  if card[1] then
    call('HINCRBY', WORKER .. worker, 'beat', 1)
    if (card[2] or '') ~= received then call('HSET', WORKER .. worker, 'received', received) end
    standing = 'alive'
  else
    standing = 'dead'
  end
  local known = cjson.decode(known_json)
  for name, facts in pairs(known) do
    call('HSET', KNOWN, name, facts)
    call('ZADD', KNOWN_SEEN, NOW_MS_TEXT, name)
  end
  call('ZREMRANGEBYSCORE', CLOSED_RUNS, '-inf', num(NOW_MS - RESULT_TTL_S * 1000))
  for _, name in ipairs(call('ZRANGEBYSCORE', KNOWN_SEEN, '-inf', num(NOW_MS - known_ttl_ms), 'LIMIT', 0, FORGOTTEN_A_TICK)) do
    call('HDEL', KNOWN, name)
    call('ZREM', KNOWN_SEEN, name)
  end
elseif mode == 'leave' then
  standing = take_back(worker, ANNOUNCED) and 'left' or 'leaving'
  if standing == 'left' then
    forget_worker(worker)
    send_again(received)
  end
end

for id, beat in string.gmatch(reap, '([^\n\t]*)\t(%d+)') do
  local card = call('HMGET', WORKER .. id, 'beat', 'received')
  if card[1] == beat and take_back(id, WORKER_DIED) then
    forget_worker(id)
    send_again(card[2] or '')
  end
end

for claim, fence in string.gmatch(dead_claims, '([^\n\t]*)\t(%d+)') do take_back_one(worker, claim, fence, DIED_ALONE) end

-- What the worker has claimed and does not know of, because the answer was lost: it will never run it.
if standing == 'alive' and mode == 'beat' then
  local known_claims, claims = {}, call('HGETALL', CLAIMS .. worker)
  for claim in lines(held) do known_claims[claim] = true end
  for at = 1, math.min(#claims, 2 * SLICE), 2 do
    local run, i = string.match(claims[at], '^(.*):(%d+)$')
    local R = not known_claims[claims[at]] and run_of(run)
    if R and NOW - (tonumber(step_of(R, tonumber(i)).started) or NOW) > UNHELD_US then
      take_back_one(worker, claims[at], claims[at + 1], ANNOUNCED)
    end
  end
end

confirm_published(marks)

for run in lines(runs) do
  local R = run_of(run)
  if R then follow(R) end
end

local look = {}

-- In how many milliseconds the steps of this queue are to go to another one, as it has no worker; nil where it has one, or
-- the other has none either.
local function falls_back_in(R, queue)
  if queue == fallback or call('SCARD', QUEUE .. queue) > 0 or call('SCARD', QUEUE .. fallback) == 0 then return end
  local left = tonumber(call('HGET', SITE, 'left|' .. queue))
  if left then return left + LEFT_ALONE_MS - NOW_MS end
  return math.floor((tonumber(get(R, 'began')) or tonumber(get(R, 'created'))) / 1000) + NEVER_SERVED_MS - NOW_MS
end

-- What is known of a queue's probes: the last one sent, the last one that came out and when, how many were sent in vain
-- since. A probe is named by its time, so those of a Redis that came back older are not taken for new ones.
local PROBES = {}

local function probe_of(queue)
  local p = PROBES[queue]
  if not p then
    local sent, out, at, in_vain = string.match(call('HGET', SITE, 'probe|' .. queue) or '', '^(%d+)|(%d+)|(%d+)|(%d+)$')
    p = {sent = tonumber(sent) or 0, out = tonumber(out) or 0, at = tonumber(at) or 0, in_vain = tonumber(in_vain) or 0}
    PROBES[queue] = p
  end
  return p
end

local function keep_probe(queue, p)
  call('HSET', SITE, 'probe|' .. queue, table.concat({num(p.sent), num(p.out), num(p.at), num(p.in_vain)}, '|'))
end

for queue, name in string.gmatch(came_out, '([^\n\t]*)\t(%d+)') do
  local p, probe = probe_of(queue), tonumber(name)
  if probe > p.out and probe <= p.sent then
    p.out, p.at, p.in_vain = probe, NOW, 0
    keep_probe(queue, p)
  end
end

-- A probe that has not come out in twice the time that the one before it took may be lost itself.
local function may_come_out(p)
  return p.out < p.sent and NOW - p.sent < math.max(PROBE_US, 2 * (p.at - p.out)) * 2 ^ p.in_vain
end

-- Have a probe sent for what was published until `seen`: one at a time.
local function want_probe(queue, seen)
  local p = probe_of(queue)
  local is_out = p.out >= p.sent
  if is_out and p.sent > seen or may_come_out(p) then return end
  if mode == 'none' or call('SCARD', QUEUE .. queue) == 0 then return end
  p.in_vain = is_out and 0 or math.min(p.in_vain + 1, MOST_DOUBLINGS)
  p.sent, p.is_new = math.max(p.sent, seen, NOW) + 1, true
  keep_probe(queue, p)
  probes[#probes + 1] = {queue, num(p.sent)}
end

-- Whether a live worker of the queue has the message; read once a call, and only where something is late.
local RECEIVED = {}

local function is_received(queue, parcel)
  if not RECEIVED[queue] then
    RECEIVED[queue] = {}
    for _, id in ipairs(call('SMEMBERS', QUEUE .. queue)) do
      for line in lines(call('HGET', WORKER .. id, 'received') or '') do RECEIVED[queue][line] = true end
    end
  end
  return RECEIVED[queue][parcel]
end

-- Whether the message of a parcel is known to be lost: a probe that was sent after it has come out, and who got it has had
-- the time to claim it, or to say that it is there. Else also in how many milliseconds that time is over.
local function is_lost(R, k, queue)
  local p, seen = probe_of(queue), tonumber(get(R, 'pub' .. k))
  if seen == 1 then
    seen = p.is_new and p.sent - 1 or math.max(p.sent, NOW)
    put(R, 'pub' .. k, num(seen))
  end
  want_probe(queue, seen)
  if p.out <= seen then return false end
  local left_ms = REPUBLISH_MS - math.floor((NOW - p.at) / 1000)
  return left_ms <= 0, left_ms
end

-- What is to be done about a parcel that nobody works on: publish it where nobody said it was, where its steps go to another
-- queue now, or where its message is lost; else let the caller look into the queue.
local function pursue(R, k, queue, to)
  local parcel = {R.id, k, queue, '1', get(R, 'prio')}
  if get(R, 'pub' .. k) ~= '' and get(R, 'to' .. k) == to then
    local gone, left_ms = is_lost(R, k, queue)
    if not gone then
      lost[#lost + 1] = parcel
      return left_ms
    end
  end
  put(R, 'pub' .. k, '')
  if get(R, 'to' .. k) ~= to then put(R, 'to' .. k, to) end
  READY[#READY + 1] = parcel
end

function look.check(R, k)
  local is_awaited, busy = awaits_claim(R, k)
  if not is_awaited then return end
  load(R, {'ck' .. k, 'pub' .. k, 'to' .. k})
  local p = parcel_of(R, k)
  local falls_in_ms = p.lane == '' and falls_back_in(R, p.queue) or nil
  local to = falls_in_ms and falls_in_ms <= 0 and fallback or ''
  local queue = to == '' and p.queue or to
  busy = busy or is_received(queue, R.id .. ':' .. k)
  local looks = busy and 0 or count_of(R, 'ck' .. k) + 1
  put(R, 'ck' .. k, tostring(looks))
  local pause_ms = math.min(REPUBLISH_MS * 2 ^ math.min(looks, MOST_DOUBLINGS), LOOKS_APART_S * 1000)
  if falls_in_ms and falls_in_ms > 0 then pause_ms = math.min(pause_ms, falls_in_ms) end
  if busy and get(R, 'to' .. k) ~= '' then put(R, 'to' .. k, '') end -- where it is sent next time is not known yet
  local left_ms = not busy and pursue(R, k, queue, to) or pause_ms
  call('ZADD', DUE, num(NOW_MS + math.min(pause_ms, left_ms)), 'check:' .. R.id .. ':' .. k)
end

function look.retry(R, i)
  resume(R, tonumber(i))
end

-- A place that was kept for a step and not taken up.
function look.limit(R, i) if step_of(R, tonumber(i)).state == 'ready' then give_place(R, tonumber(i)) end end

function look.again(R, k) if gate_is_open(R) then publish_parallel(R, tonumber(k)) end end

-- A step in a lane that found no place for so long lets the runs behind it pass.
function look.stepout(R, i)
  if step_of(R, tonumber(i)).state ~= 'delayed' or get(R, 'away') == '1' or get(R, 'offered') == '1' then return end
  put(R, 'away', '1')
  leave_lanes(R)
end

function look.queued(R) end_unwanted(R) end
function look.deadline(R) run_past_deadline(R) end
function look.sweep(R) follow(R) end

function look.final(R) end_running(R) end

local due = call('ZRANGEBYSCORE', DUE, '-inf', NOW_MS_TEXT, 'LIMIT', 0, DUE_A_TICK)
for _, member in ipairs(due) do
  call('ZREM', DUE, member)
  local kind, run, rest = string.match(member, '^(%a+):([^:]*):?(.*)$')
  local R = kind ~= 'line' and run_of(run)
  if kind == 'line' then move_line(string.sub(member, 6)) elseif R and look[kind] then look[kind](R, rest) end
end

save_runs()
local next_due = call('ZRANGE', DUE, 0, 0, 'WITHSCORES')[2]
local stops = {}
if standing == 'alive' then
  stops = call('LRANGE', STOPS .. worker, 0, SLICE - 1)
  if #stops > 0 then call('LTRIM', STOPS .. worker, #stops, -1) end
end
local beats = {}
if mode ~= 'none' then
  for _, id in ipairs(call('SMEMBERS', WORKERS)) do
    beats[#beats + 1] = id
    beats[#beats + 1] = call('HGET', WORKER .. id, 'beat') or '0'
  end
end
return {next_seq(), standing, READY, lost, MORE, next_due and num(tonumber(next_due) - NOW_MS) or '', stops, beats, probes}
