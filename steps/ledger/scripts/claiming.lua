-- Claiming: a worker's right to run one attempt each of some steps of a parcel.

local function take_critical(R, k)
  if get(R, 'seg') ~= tostring(k) or get(R, 'hold') ~= '' or get(R, 'offered') ~= '1' or get(R, 'skip') ~= '' then return {} end
  step_over(R, k)
  local i = cursor_of(R, k)
  if i > parcel_of(R, k).last then return {} end
  local state = step_of(R, i).state
  if state == 'delayed' or state == 'vacated' or not has_room(R, i, k) then return {} end
  put(R, 'hold', tostring(i))
  return {i}
end

-- Steps and calls are read in one go, and only once.
local function load_steps(R, from, till)
  local fields = {}
  for i = from, till do
    fields[#fields + 1] = 's' .. i
    fields[#fields + 1] = 'd' .. i
    if get(R, 'lim') == '1' then fields[#fields + 1] = 'm' .. i end
  end
  if #fields > 0 then load(R, fields) end
end

local function load_calls(R, taken)
  local fields = {}
  for _, i in ipairs(taken) do
    if R.have['d' .. i] == nil then fields[#fields + 1] = 'd' .. i end
    if get(R, 'sus') == '1' then fields[#fields + 1] = 'q' .. i end
  end
  if #fields > 0 then load(R, fields) end
end

-- First the steps that were given back, then the next ones in order.
local function take_parallel(R, k, want)
  if not gate_is_open(R) then return {} end
  want = math.min(want, count_of(R, 'maxc') - count_of(R, 'running'), SLICE)
  local taken, loose = {}, get(R, 'l' .. k)
  while #taken < want and loose ~= '' do
    local i, rest = string.match(loose, '^(%d+),(.*)$')
    loose = rest
    if step_of(R, tonumber(i)).state == 'ready' and has_room(R, tonumber(i), k) then taken[#taken + 1] = tonumber(i) end
  end
  if loose ~= get(R, 'l' .. k) then put(R, 'l' .. k, loose) end
  local from, last = cursor_of(R, k), parcel_of(R, k).last
  local cursor, till = from, math.min(last, from + SLICE - 1)
  load_steps(R, from, math.min(till, from + want - #taken - 1))
  while #taken < want and cursor <= till do
    if step_of(R, cursor).state ~= 'vacated' and has_room(R, cursor, k) then taken[#taken + 1] = cursor end
    cursor = cursor + 1
  end
  if cursor ~= from then put(R, 'c' .. k, cursor) end
  if #taken > 0 then
    put(R, 'running', count_of(R, 'running') + #taken)
  elseif cursor > till and cursor <= last then -- a whole slice was cancelled or held back, and the message is gone
    call('ZADD', DUE, NOW_MS_TEXT, 'again:' .. R.id .. ':' .. k)
  end
  return taken
end

-- Fences never repeat, not even after Redis came back with older data: time alone carries them on.
local function fences(count)
  local first = math.max((tonumber(call('HGET', SITE, 'fence')) or 0) + 1, NOW)
  call('HSET', SITE, 'fence', num(first + count - 1))
  return first
end

local function is_suspect(R, i) return get(R, 'sus') == '1' and get(R, 'q' .. i) == '1' end

local function start(R, k, taken, worker)
  if get(R, 'first') == '' then put(R, 'first', NOW_US_TEXT) end
  load_calls(R, taken)
  local fence, granted, claims, parcel, ready = fences(#taken), {}, {}, tostring(k), tonumber(get(R, 'r' .. k)) or NOW
  for at, i in ipairs(taken) do
    local s, claim = step_of(R, i), claim_field(R, i)
    local waited_us = NOW - (tonumber(s.ready) or ready)
    s.state, s.attempts, s.worker, s.started, s.parcel = 'running', s.attempts + 1, worker, NOW_US_TEXT, parcel
    s.fence = num(fence + at - 1)
    put_step(R, s)
    emit(R, 'step.started', i, s)
    claims[2 * at - 1], claims[2 * at] = claim, s.fence
    granted[at] = {i, s.fence, s.attempts, s.failures, waited_us, get(R, 'd' .. i), is_suspect(R, i) and '1' or '0'}
  end
  save_dropped() -- one of them may have been given back in this very call
  call('HSET', CLAIMS .. worker, unpack(claims))
  return granted
end

-- What is claimed as soon as it is ready needs no message.
local function take_from_ready(R, k)
  for at = #READY, 1, -1 do
    if READY[at][1] == R.id and READY[at][2] == tostring(k) then table.remove(READY, at) end
  end
end

-- Returns the steps granted and whether the caller, when it has room, should ask again.
local function grant(R, k, worker, want)
  if want <= 0 or not is_turn(R, k) or get(R, 'stop') ~= '' or get(R, 'paused') ~= '' or get(R, 'x' .. k) == '' then return {}, false end
  if get(R, 'state') == 'open' and NOW >= tonumber(get(R, 'deadline')) then return {}, false end
  if call('EXISTS', WORKER .. worker) == 0 then return {}, false end
  local taken
  if parcel_of(R, k).lane ~= '' then taken = take_critical(R, k) else taken = take_parallel(R, k, want) end
  if #taken == 0 then return {}, false end
  put(R, 'pub' .. k, '1')
  local has_places = count_of(R, 'running') < count_of(R, 'maxc')
  return start(R, k, taken, worker), parcel_of(R, k).lane == '' and has_places and claimable(R, k) > 0
end

-- What an attempt must know of its run: now, what is left of the deadline (-1: none), how many outcomes there are.
local function standing(R)
  local left_us = get(R, 'state') == 'body' and -1 or math.max(0, tonumber(get(R, 'deadline')) - NOW)
  return {NOW_US_TEXT, num(left_us), tostring(count_of(R, 'n') - count_of(R, 'left'))}
end
