-- A run as the scripts see it: fields are read once, changed in memory and written back by save_runs().
--
-- run:RUN fields
--   meta, n, ncrit, maxc, wave, order, strat, segs, np, body      fixed by open (segs: critical parcels, np: all but the body's)
--   created, deadline, settled_at  when      watch  inboxes to notify, by commas      ck<k>  looks at parcel k in vain
--   d<i>  the call of step i     x<k>  parcel k: queue, lane, first, last (a line each)
--   state  open | body | closed  (body: all outcomes are there, the completion body is under way)
--   left, crit_left  steps, critical steps without an outcome     running  attempts on parallel parcels
--   seg  the critical parcel whose turn it is    offered  1: it is published    hold  the step holding the lane
--   away  1: the run has stepped out of its lanes        lanes  where it stands in line     ln:<lane>  parcels left there
--   c<k>  next step to claim     l<k>  steps given back     r<k>  ready since
--   pub<k>  1: publishing is confirmed, more: it was when a keeper looked then     to<k>  the other queue that it went to
--   gate  1: the parallel parcels have been published       swept  next step to end by stop       final  1: its grace is over
--   stop  status|type|message: what ends all that has not started       skip  index|failed step: critical steps to skip
--   tally  outcomes so far by status: succeeded|failed|timed_out|cancelled|skipped|lost     qp:<queue>  unsettled steps there
--   name, mode, prio  as submitted     began  when its turn came     first  when its first step was claimed
--   after, waits  runs it waits for, how many of them are open     next  runs that wait for it     later  lanes to enter then
--   lim  1: it has steps with limits     m<i>  max_running|starts|in so many microseconds|name     held<i>  since when it waits in line
--   paused  1: nothing of it starts     key, latest  its idempotency key, the place it has taken     qms  how long it may wait unstarted
--   ep  the epoch it was opened in, if not the first     older  1: when it settled that was over
--   off<i>  why it was cancelled while it ran     sus  1: it has suspects     q<i>  1: the step is one
--   s<i>  state|attempts|deaths|failures|fence|worker|ready|started|parcel      o<i>  the outcome
-- All times are microseconds of Redis TIME; everything numeric is written by num(), as %.14g would lose digits.

local SLICE = 500 -- entries that one script may touch
local EVENTS_A_STEP, EVENTS_A_RUN = 4, 1000

-- Of a whole number: '%.0f' is five times as slow, and a number alone loses digits in a command.
local function num(x) return string.format('%d', x) end

-- What one call works on. A function of a library lives on between calls, so enter() makes all of it anew.
local call -- a library has no redis.call yet while it is loaded
local NOW, NOW_MS, NOW_US_TEXT, NOW_MS_TEXT
local LIMITS, REPUBLISH_MS, LANE_HOLD_MS, RESULT_TTL_S, NOTICE_BYTES, INBOX_CAP, ALIVE_S, MEMORY_SHARE
local RUNS, READY, MORE -- runs by id; for the caller: what to publish, the runs to look after once more
local SITE_COUNTS, STEP_COUNTS -- statistics are added up and written once a call: of the site, of each step by its name
local DROPPED -- claims that are over, by worker
local SEQ -- the site sequence of this call, once it has one
local budget -- what all the sweeps of the call may still touch
local stood -- how many of the call's steps were sent to stand in line

-- Its arguments open every call: the root of all keys, and republish_ms|lane_hold_ms|result_ttl_s|notice_bytes|inbox_cap|
-- alive_s|memory_share (in thousandths of maxmemory, see room.lua).
local function enter(root, limits)
  call = redis.call
  name_keys(root)
  if limits ~= LIMITS then
    LIMITS = limits
    local numbers = {}
    for limit in string.gmatch(limits, '%d+') do numbers[#numbers + 1] = tonumber(limit) end
    REPUBLISH_MS, LANE_HOLD_MS, RESULT_TTL_S, NOTICE_BYTES, INBOX_CAP, ALIVE_S, MEMORY_SHARE = unpack(numbers)
  end
  local moment = call('TIME')
  NOW = moment[1] * 1000000 + moment[2]
  NOW_MS = math.floor(NOW / 1000)
  NOW_US_TEXT, NOW_MS_TEXT = num(NOW), num(NOW_MS)
  RUNS, READY, MORE, SITE_COUNTS, STEP_COUNTS, DROPPED = {}, {}, {}, {}, {}, {}
  SEQ, budget, stood = nil, SLICE, 0
end

local CORE = {'state', 'n', 'ncrit', 'left', 'crit_left', 'running', 'maxc', 'wave', 'order', 'strat', 'stop', 'skip',
  'seg', 'segs', 'np', 'offered', 'away', 'hold', 'lanes', 'deadline', 'body', 'watch', 'created', 'tally', 'lim', 'sus', 'first', 'waits', 'began', 'prio',
  'paused'}

-- The site's sequence counts the calls that write. Its higher part is the epoch: it grows when Redis came back older.
local EPOCH_SPAN = 2 ^ 40

local function next_seq()
  SEQ = SEQ or call('HINCRBY', SITE, 'seq', 1)
  return SEQ
end

local function epoch_of(seq) return math.floor(seq / EPOCH_SPAN) end

local function load(R, fields)
  local values = call('HMGET', R.key, unpack(fields))
  for at, field in ipairs(fields) do
    if R.have[field] == nil then R.have[field] = values[at] or '' end
  end
end

local function get(R, field)
  if R.have[field] == nil then load(R, {field}) end
  return R.have[field]
end

local function count_of(R, field) return tonumber(get(R, field)) or 0 end

-- Text or a whole number.
local function put(R, field, value)
  R.have[field] = value
  R.dirty[field] = true
end

-- All that one call needs of a run is read in one go where it can be named ahead.
local function run_of(id, ...)
  if RUNS[id] == nil then
    local R = {id = id, key = RUN .. id, have = {}, dirty = {}, steps = {}, parcels = {}, fixed = {}, sent = {}}
    local fields = {...}
    for _, field in ipairs(CORE) do fields[#fields + 1] = field end
    load(R, fields)
    RUNS[id] = R.have.state ~= '' and R or false
  end
  return RUNS[id] or nil
end

-- The fields of a parcel that every claim and settle looks at.
local function parcel_fields(k) return 'x' .. k, 'c' .. k, 'l' .. k, 'r' .. k end

local function add(counts, field, by) counts[field] = (counts[field] or 0) + by end

local function counts_of_step(name)
  local counts = STEP_COUNTS[name]
  if not counts then
    counts = {}
    STEP_COUNTS[name] = counts
  end
  return counts
end

-- Fixed buckets for times: quarter powers of two of a microsecond, so that a percentile is off by a tenth at most.
local function bucket_of(us) return 'b' .. math.floor(4 * math.log(math.max(us, 1)) / math.log(2)) end

-- Two commands however many fields there are, a slice at a time.
local function write_counts(key, fields, increments)
  for from = 1, #fields, SLICE do
    local till, pairs_ = math.min(from + SLICE - 1, #fields), {}
    local before = call('HMGET', key, unpack(fields, from, till))
    for at = from, till do
      pairs_[#pairs_ + 1] = fields[at]
      pairs_[#pairs_ + 1] = num((tonumber(before[at - from + 1]) or 0) + increments[at])
    end
    call('HSET', key, unpack(pairs_))
  end
end

local function save_counts()
  local fields, increments = {}, {}
  for field, by in pairs(SITE_COUNTS) do
    fields[#fields + 1] = field
    increments[#increments + 1] = by
  end
  if #fields > 0 then write_counts(STATS, fields, increments) end
  fields, increments = {}, {}
  for name, counts in pairs(STEP_COUNTS) do
    for what, by in pairs(counts) do
      fields[#fields + 1] = what .. '|' .. name
      increments[#increments + 1] = by
    end
  end
  if #fields > 0 then write_counts(STEP_STATS, fields, increments) end
end

local function save_run(R)
  if R.has_counted then put(R, 'tally', table.concat(R.tally, '|')) end
  local pairs_, size, have = {}, 0, R.have
  for field in pairs(R.dirty) do
    local value = have[field]
    pairs_[size + 1] = field
    pairs_[size + 2] = type(value) == 'number' and num(value) or value
    size = size + 2
    if size == 2 * SLICE then
      call('HSET', R.key, unpack(pairs_, 1, size))
      size = 0
    end
  end
  if size > 0 then call('HSET', R.key, unpack(pairs_, 1, size)) end
  R.dirty, R.has_counted = {}, false
end

local function drop_claim(worker, claim)
  local claims = DROPPED[worker]
  if not claims then
    claims = {}
    DROPPED[worker] = claims
  end
  claims[#claims + 1] = claim
  if #claims == SLICE then
    call('HDEL', CLAIMS .. worker, unpack(claims))
    DROPPED[worker] = nil
  end
end

local function save_dropped()
  for worker, claims in pairs(DROPPED) do call('HDEL', CLAIMS .. worker, unpack(claims)) end
  DROPPED = {}
end

-- The end of every script that changes anything.
local function save_runs()
  save_counts()
  save_dropped()
  for _, R in pairs(RUNS) do
    if R then save_run(R) end
  end
end

-- steps ---------------------------------------------------------------------------------------------------------

local STEP_PATTERN = '^([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)$'

local function step_of(R, i)
  local s = R.steps[i]
  if not s then
    local field = 's' .. i
    local raw = get(R, field)
    if raw == '' then
      s = {field = field, state = 'new', attempts = 0, deaths = 0, failures = 0, fence = '0', worker = '', ready = '', started = '',
        parcel = ''}
    else
      local state, attempts, deaths, failures, fence, worker, ready, started, parcel = string.match(raw, STEP_PATTERN)
      s = {field = field, state = state, attempts = tonumber(attempts), deaths = tonumber(deaths), failures = tonumber(failures),
        fence = fence, worker = worker, ready = ready, started = started, parcel = parcel}
    end
    R.steps[i] = s
  end
  return s
end

local function put_step(R, s)
  put(R, s.field, s.state .. '|' .. s.attempts .. '|' .. s.deaths .. '|' .. s.failures .. '|' .. s.fence .. '|' .. s.worker .. '|'
    .. s.ready .. '|' .. s.started .. '|' .. s.parcel)
end

local function parcel_of(R, k)
  local p = R.parcels[k]
  if not p then
    local queue, lane, first, last = string.match(get(R, 'x' .. k), '^([^\n]*)\n([^\n]*)\n(%d+)\n(%d+)$')
    p = {queue = queue, lane = lane, first = tonumber(first), last = tonumber(last)}
    R.parcels[k] = p
  end
  return p
end

-- The parcel that step i belongs to: parcels are ascending ranges of steps, the completion body's comes last.
local function parcel_at(R, i)
  local low, high = 0, count_of(R, 'np')
  while low < high do
    local middle = math.floor((low + high) / 2)
    if parcel_of(R, middle).last < i then low = middle + 1 else high = middle end
  end
  return low
end

local function is_critical(R, i)
  return i < count_of(R, 'ncrit') or (i == count_of(R, 'n') and parcel_of(R, get(R, 'np')).lane ~= '')
end

local function cursor_of(R, k) return tonumber(get(R, 'c' .. k)) or parcel_of(R, k).first end

local function claim_field(R, i) return R.id .. ':' .. i end

-- events and notices --------------------------------------------------------------------------------------------

local function emit(R, kind, i, s, status)
  local key, most = EVENTS .. R.id, R.most_events
  if not most then
    most = num(EVENTS_A_STEP * R.have.n + EVENTS_A_RUN)
    R.most_events = most
  end
  if not i then
    call('XADD', key, 'MAXLEN', most, '*', 'event', kind, 'at', NOW_US_TEXT)
  elseif not status then
    call('XADD', key, 'MAXLEN', most, '*', 'event', kind, 'at', NOW_US_TEXT, 'step', i, 'attempt', s.attempts, 'fence', s.fence,
      'worker', s.worker)
  else
    call('XADD', key, 'MAXLEN', most, '*', 'event', kind, 'at', NOW_US_TEXT, 'step', i, 'attempt', s.attempts, 'fence', s.fence,
      'worker', s.worker, 'status', status)
  end
end

-- Whether Redis came back with older data while the run was open: what it did since then may have been done again.
local function was_rolled_back(R, seq)
  if get(R, 'state') ~= 'open' then return get(R, 'older') == '1' end
  return epoch_of(seq) > 0 and epoch_of(seq) > count_of(R, 'ep')
end

-- The notice carries the outcomes where they are few and small, which spares the waiter a read.
local function notice_of(R)
  local n = count_of(R, 'n')
  if n > SLICE then return '{"run":"' .. R.id .. '"}' end
  local fields, size = {}, 0
  for i = 0, n - 1 do fields[#fields + 1] = 'o' .. i end
  if n > 0 then load(R, fields) end
  local outcomes = {}
  for i = 0, n - 1 do
    outcomes[#outcomes + 1] = R.have['o' .. i]
    size = size + #outcomes[#outcomes]
  end
  if size > NOTICE_BYTES then return '{"run":"' .. R.id .. '"}' end
  local older = R.have.older == '1' and '"older":true,' or ''
  return '{"run":"' .. R.id .. '",' .. older .. '"total_us":' .. num(NOW - tonumber(get(R, 'created'))) .. ',"outcomes":[' .. table.concat(outcomes, ',') .. ']}'
end

local function notify(R)
  local text
  for inbox in string.gmatch(get(R, 'watch'), '[^,]+') do
    if call('EXISTS', ALIVE .. inbox) == 1 then
      text = text or notice_of(R)
      if call('RPUSH', INBOX .. inbox, text) > INBOX_CAP then call('LTRIM', INBOX .. inbox, -INBOX_CAP, -1) end
      call('EXPIRE', INBOX .. inbox, ALIVE_S)
    end
  end
end

-- Marks ride in a call that is made anyway: lines RUN:PARCEL of what was published since the last one.
local function confirm_published(marks)
  for run, k in string.gmatch(marks, '([^\n:]*):(%d+)') do
    local R = run_of(run)
    if R then put(R, 'pub' .. k, '1') end
  end
end
