-- Limits of a step over the whole site: how many of it run at once, and how many start in a time.
--
-- A claim that finds no room holds the step back: it waits in line in the ledger, its worker goes on with others. Whoever
-- frees a place keeps it for the one that has waited longest of those that can start; the time of the next start moves the
-- line of a step with a rate. A place is held until the step's code has returned (on threads: until it is settled).

local NOT_TAKEN_UP_MS = 60 * 1000 -- a place kept so long for a step that no worker claims is for the next one in line

local function limits_of(R, i)
  if get(R, 'lim') ~= '1' then return end
  local most, starts, within_us, name = string.match(get(R, 'm' .. i), '^(%d*)|(%d*)|(%d*)|(.*)$')
  if name and name ~= '' then return name, tonumber(most), tonumber(starts), tonumber(within_us) end
end

-- When the next start may be, if so many were let in just now: never more than `starts` in any `within_us`.
local function next_start(name, starts, within_us, let_in_now)
  if let_in_now >= starts then return NOW + REPUBLISH_MS * 1000 end -- once they have started there is more to say
  local before = call('LINDEX', STARTS .. name, let_in_now - starts)
  return before and tonumber(before) + within_us or 0
end

local function move_line_at(name, at_us) call('ZADD', DUE, num(math.ceil(at_us / 1000)), 'line:' .. name) end

-- The step waits in the ledger, since it first did; in a lane its run keeps its place as long as with any other wait.
local function hold_back(R, i, k, name)
  local s, critical = step_of(R, i), is_critical(R, i)
  if get(R, 'held' .. i) == '' then
    put(R, 'held' .. i, num(NOW + stood))
    stood = stood + 1 -- those of one call are in line in the order of their steps
  end
  call('ZADD', HELD .. name, get(R, 'held' .. i), claim_field(R, i))
  s.state, s.parcel = 'delayed', tostring(k)
  if s.ready == '' then s.ready = get(R, 'r' .. k) end
  put_step(R, s)
  emit(R, 'step.held', i, s)
  if critical then
    put(R, 'offered', '')
    call('ZADD', DUE, num(NOW_MS + LANE_HOLD_MS), 'stepout:' .. R.id .. ':' .. i)
  end
end

local function note_start(R, i, name, most, starts, within_us)
  if most and call('SADD', PLACES .. name, claim_field(R, i)) == 0 then call('ZREM', DUE, 'limit:' .. R.id .. ':' .. i) end
  if get(R, 'held' .. i) ~= '' then put(R, 'held' .. i, '') end
  if not starts then return end
  call('RPUSH', STARTS .. name, NOW_US_TEXT)
  call('LTRIM', STARTS .. name, -starts, -1)
  call('PEXPIRE', STARTS .. name, math.ceil(within_us / 1000))
  local at = next_start(name, starts, within_us, 0)
  if at > NOW and call('ZCARD', HELD .. name) > 0 then move_line_at(name, at) end
end

-- Whether the step may start now; one that may not is held back. Nobody overtakes those in line for a start.
local function has_room(R, i, k)
  local name, most, starts, within_us = limits_of(R, i)
  if not name then return true end
  local is_kept = most and call('SISMEMBER', PLACES .. name, claim_field(R, i)) == 1
  local is_full = most and not is_kept and call('SCARD', PLACES .. name) >= most
  local at = starts and next_start(name, starts, within_us, 0) or 0
  local overtakes = starts and get(R, 'held' .. i) == '' and call('ZCARD', HELD .. name) > 0
  if not is_full and at <= NOW and not overtakes then
    note_start(R, i, name, most, starts, within_us)
    return true
  end
  if is_kept then
    call('SREM', PLACES .. name, claim_field(R, i))
    call('ZREM', DUE, 'limit:' .. R.id .. ':' .. i)
  end
  if at > NOW then move_line_at(name, at) end
  hold_back(R, i, k, name)
  return false
end

-- What was held back keeps the time since which it was ready. Returns whether it can start at once.
local function let_in(R, i)
  local s, critical = step_of(R, i), is_critical(R, i)
  local since = s.ready
  resume(R, i)
  s.ready = since
  put_step(R, s)
  if not critical then return get(R, 'paused') == '' and count_of(R, 'running') < count_of(R, 'maxc') end
  call('ZREM', DUE, 'stepout:' .. R.id .. ':' .. i)
  return get(R, 'offered') == '1'
end

-- Let in those in line that there is room for. One that its lane or its run keeps waiting is given no place ahead.
local function move_line(name)
  local let_in_now = 0
  for _ = 1, SLICE do
    local first = call('ZRANGE', HELD .. name, 0, 0)[1]
    if not first then return end
    local run, j = string.match(first, '^(.*):(%d+)$')
    local H, i = run_of(run), tonumber(j)
    if H and get(H, 'stop') == '' and step_of(H, i).state == 'delayed' then
      local _, most, starts, within_us = limits_of(H, i)
      if most and call('SCARD', PLACES .. name) >= most then return end
      local at = starts and next_start(name, starts, within_us, let_in_now) or 0
      if at > NOW then return move_line_at(name, at) end
      let_in_now = let_in_now + 1
      if let_in(H, i) and most then
        call('SADD', PLACES .. name, first)
        call('ZADD', DUE, num(NOW_MS + NOT_TAKEN_UP_MS), 'limit:' .. first)
      end
    end
    call('ZREM', HELD .. name, first)
  end
  move_line_at(name, NOW)
end

local function give_place(R, i)
  local name, most = limits_of(R, i)
  if most and call('SREM', PLACES .. name, claim_field(R, i)) == 1 then move_line(name) end
end

-- A step that ends before it has started waits no longer, and a place kept for it is free.
leave_line = function(R, i)
  local name = limits_of(R, i)
  if not name then return end
  call('ZREM', HELD .. name, claim_field(R, i))
  call('ZREM', DUE, 'limit:' .. R.id .. ':' .. i, 'stepout:' .. R.id .. ':' .. i)
  give_place(R, i)
end
