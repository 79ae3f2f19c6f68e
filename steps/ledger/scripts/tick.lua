-- tick WORKER MODE QUEUE INFO KNOWN REAP DEAD_CLAIMS HELD MARKS RUNS KNOWN_TTL_MS FALLBACK
--   -> {seq, standing, ready, lost?, more_runs, next_due_ms, stops, (worker, beat)...}
-- The keepers' one script. MODE: join (a new worker), beat, leave (an announced end), none (a waiting producer).
-- standing: alive, dead (declared dead: start again under a new id), leaving (call again), left or none.
-- REAP: lines "worker<TAB>beat", seen still for a whole lease. DEAD_CLAIMS: lines "RUN:INDEX<TAB>FENCE" of children that
-- are gone. HELD: lines RUN:INDEX, all that the worker knows it has claimed. MARKS: lines RUN:PARCEL, published.
-- RUNS: lines, runs to look after now. FALLBACK: the queue that takes parallel steps whose own has no worker. lost?: parcels nobody has claimed, to publish again if their queue is empty.
local worker, mode, queue, info, known_json = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local reap, dead_claims, held, marks, runs, known_ttl_ms = ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local fallback = ARGV[14]
local LEFT_ALONE_MS, NEVER_SERVED_MS = 5 * 1000, 10 * 1000 -- so long a queue may be without a worker
local UNHELD_US = 10 * 1000000 -- a claim whose answer was lost is taken back after two leases
local DUE_A_TICK = 200
local FORGOTTEN_A_TICK = 100 -- steps that no worker has listed for long
local lost, standing = {}, 'none'

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

if mode == 'join' or mode == 'beat' then
  if mode == 'join' then
    call('HSET', WORKER .. worker, 'queue', queue, 'info', info)
    call('SADD', WORKERS, worker)
    call('SADD', QUEUE .. queue, worker)
  end
  if call('EXISTS', WORKER .. worker) == 1 then
    call('HINCRBY', WORKER .. worker, 'beat', 1)
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
  if standing == 'left' then forget_worker(worker) end
end

for id, beat in string.gmatch(reap, '([^\n\t]*)\t(%d+)') do
  if call('HGET', WORKER .. id, 'beat') == beat and take_back(id, WORKER_DIED) then forget_worker(id) end
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

-- A published parcel that nobody works on: publish it if nobody said it was, else let the caller look into the queue.
function look.check(R, k)
  local busy, queue, falls_in_ms = false, parcel_of(R, tonumber(k)).queue, nil
  if get(R, 'state') == 'closed' or get(R, 'stop') ~= '' then return end
  if parcel_of(R, k).lane ~= '' then
    if get(R, 'seg') ~= k or get(R, 'offered') ~= '1' then return end
    busy = get(R, 'hold') ~= ''
  else
    if claimable(R, k) <= 0 or not gate_is_open(R) then return end
    busy = count_of(R, 'running') > 0
    falls_in_ms = falls_back_in(R, queue)
  end
  local looks = busy and 0 or count_of(R, 'ck' .. k) + 1
  put(R, 'ck' .. k, tostring(looks))
  local pause_ms = math.min(REPUBLISH_MS * 2 ^ looks, LOOKS_APART_S * 1000)
  if falls_in_ms and falls_in_ms > 0 then pause_ms = math.min(pause_ms, falls_in_ms) end
  call('ZADD', DUE, num(NOW_MS + pause_ms), 'check:' .. R.id .. ':' .. k)
  if busy then return end
  local parcel = {R.id, k, queue, '1', get(R, 'prio')}
  if falls_in_ms and falls_in_ms <= 0 then
    parcel[3] = fallback
    READY[#READY + 1] = parcel
  elseif get(R, 'pub' .. k) == '1' then
    lost[#lost + 1] = parcel
  else
    READY[#READY + 1] = parcel
  end
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
return {next_seq(), standing, READY, lost, MORE, next_due and num(tonumber(next_due) - NOW_MS) or '', stops, beats}
