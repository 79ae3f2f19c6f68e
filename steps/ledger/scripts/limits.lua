-- Limits of a step over the whole site: how many of it run at once, and how many start in a time.
--
-- A claim that finds no room holds the step back: it waits in the ledger, its worker goes on with others, and whoever frees
-- the place hands it on to the one that has waited longest. A place is held from the claim until the step's code has
-- returned (on threads: until it is settled).

local function limits_of(R, i)
  if get(R, 'lim') ~= '1' then return end
  local most, starts, within_us, name = string.match(get(R, 'm' .. i), '^(%d*)|(%d*)|(%d*)|(.*)$')
  return name, tonumber(most), tonumber(starts), tonumber(within_us)
end

-- The step waits in the ledger; in a lane its run keeps its place as long as with any other wait.
local function hold_back(R, i, k, until_us)
  local s, critical = step_of(R, i), is_critical(R, i)
  s.state, s.parcel = 'delayed', tostring(k)
  if s.ready == '' then s.ready = get(R, 'r' .. k) end
  put_step(R, i, s)
  emit(R, 'step.held', i, s)
  if until_us then call('ZADD', DUE, num(math.ceil(until_us / 1000)), 'limit:' .. R.id .. ':' .. i) end
  if critical then
    put(R, 'offered', '')
    call('ZADD', DUE, num(NOW_MS + LANE_HOLD_MS), 'stepout:' .. R.id .. ':' .. i)
  end
end

-- Give the start of a step with a rate its time, once for each attempt: never more than `starts` in any `within_us`.
local function time_of_start(R, i, name, starts, within_us)
  if not starts or get(R, 'adm' .. i) == '1' then return NOW end
  local before = call('LINDEX', STARTS .. name, -starts)
  local at = math.max(NOW, before and tonumber(before) + within_us or 0)
  call('RPUSH', STARTS .. name, num(at))
  call('LTRIM', STARTS .. name, -starts, -1)
  call('PEXPIRE', STARTS .. name, math.ceil((at - NOW + within_us) / 1000))
  put(R, 'adm' .. i, '1')
  return at
end

-- Whether the step may start now; one that may not is held back.
local function has_room(R, i, k)
  local name, most, starts, within_us = limits_of(R, i)
  if not name or name == '' then return true end
  local at = time_of_start(R, i, name, starts, within_us)
  if at > NOW then
    hold_back(R, i, k, at)
    return false
  end
  if most and call('SCARD', PLACES .. name) >= most then
    local since = get(R, 'held' .. i)
    if since == '' then
      since = num(NOW_MS)
      put(R, 'held' .. i, since)
    end
    call('ZADD', HELD .. name, since, claim_field(R, i))
    hold_back(R, i, k)
    return false
  end
  if most then call('SADD', PLACES .. name, claim_field(R, i)) end
  if starts then put(R, 'adm' .. i, '') end
  return true
end

-- What was held back keeps the time since which it was ready.
local function let_in(R, i)
  local s = step_of(R, i)
  local since = s.ready
  resume(R, i)
  if s.state ~= 'ready' then return end
  s.ready = since
  put_step(R, i, s)
end

local function give_place(R, i)
  local name, most = limits_of(R, i)
  if not most or call('SREM', PLACES .. name, claim_field(R, i)) == 0 then return end
  local next_ = call('ZRANGE', HELD .. name, 0, 0)[1]
  if not next_ then return end
  call('ZREM', HELD .. name, next_)
  local run, j = string.match(next_, '^(.*):(%d+)$')
  local H = run_of(run)
  if H then let_in(H, tonumber(j)) end
end
