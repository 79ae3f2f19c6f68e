-- Lanes: a run enters all of its lanes at once, its critical parcels are offered one after the other, and when it is done in a
-- lane, or waits for long, the next run in line has its turn.

-- What is ready to be published, for the caller: run, parcel, queue, copies, priority. Seen again by a keeper if nobody claims it.
local function publish(R, k, copies)
  if R.sent[tonumber(k)] then return end
  local p = parcel_of(R, k)
  READY[#READY + 1] = {R.id, tostring(k), p.queue, tostring(copies), get(R, 'prio')}
  R.sent[tonumber(k)] = true
  put(R, 'pub' .. k, '')
  if p.lane == '' then put(R, 'to' .. k, '') end -- critical steps never leave their queue
  call('ZADD', DUE, num(NOW_MS + REPUBLISH_MS), 'check:' .. R.id .. ':' .. k)
end

local offer_head

-- Whoever calls looks after this run once more: there was more to do than one call may touch.
local function come_again(R)
  if R.again then return end
  R.again = true
  MORE[#MORE + 1] = R.id
  call('ZADD', DUE, NOW_MS_TEXT, 'sweep:' .. R.id)
end

-- Steps that were cancelled before their turn are stepped over.
local function step_over(R, k)
  local from, last = cursor_of(R, k), parcel_of(R, k).last
  local i = from
  while i <= last and i - from < SLICE and step_of(R, i).state == 'vacated' do i = i + 1 end
  if i ~= from then put(R, 'c' .. k, i) end
  if i - from == SLICE then
    put(R, 'offered', '') -- who claims now would find a cancelled step, and the message would be gone
    come_again(R)
  end
end

-- Publish the run's parcel if it is first in its lane and nothing stands in its way.
local function offer(R)
  local k = get(R, 'seg')
  if k == '' or get(R, 'hold') ~= '' or get(R, 'offered') == '1' or get(R, 'away') == '1' then return end
  if get(R, 'paused') ~= '' then return end
  if get(R, 'stop') ~= '' or get(R, 'skip') ~= '' then return end
  local p = parcel_of(R, k)
  if call('ZRANGE', LANE .. p.lane, 0, 0)[1] ~= R.id then return end
  call('HSETNX', LANES, p.lane, R.id .. '|' .. NOW_US_TEXT)
  local state = step_of(R, cursor_of(R, k)).state
  if state == 'delayed' or state == 'vacated' then return end
  put(R, 'offered', '1')
  if get(R, 'r' .. k) == '' then put(R, 'r' .. k, NOW_US_TEXT) end
  publish(R, k, 1)
end

local function leave_lane(R, lane)
  call('ZREM', LANE .. lane, R.id)
  local holder = call('HGET', LANES, lane)
  if holder and string.match(holder, '^[^|]*') == R.id then call('HDEL', LANES, lane) end
  offer_head(lane)
end

local function leave_lanes(R)
  local lanes = get(R, 'lanes')
  if lanes == '' then return end
  put(R, 'lanes', '')
  for lane in string.gmatch(lanes, '[^\n]+') do leave_lane(R, lane) end
end

-- One ticket for all the lanes of a run: one total order, so no two runs can wait for each other.
local function enter_lanes(R, lanes)
  local ticket = call('HINCRBY', SITE, 'ticket', 1)
  for lane in string.gmatch(lanes, '[^\n]+') do call('ZADD', LANE .. lane, ticket, R.id) end
  put(R, 'lanes', lanes)
  offer(R)
end

offer_head = function(lane)
  local head = call('ZRANGE', LANE .. lane, 0, 0)[1]
  local H = head and run_of(head)
  if H then offer(H) elseif head then leave_lane({id = head}, lane) end
end

-- The lanes in which the run still has parcels, the current one included.
local function lanes_ahead(R)
  local seen, lanes = {}, {}
  for k = tonumber(get(R, 'seg')), tonumber(get(R, 'segs')) - 1 do
    local lane = parcel_of(R, k).lane
    if not seen[lane] then
      seen[lane] = true
      lanes[#lanes + 1] = lane
    end
  end
  return table.concat(lanes, '\n')
end

local function without(lanes, gone)
  local kept = {}
  for lane in string.gmatch(lanes, '[^\n]+') do if lane ~= gone then kept[#kept + 1] = lane end end
  return table.concat(kept, '\n')
end

-- Whoever waits for a person, or for long, waits outside of its lanes: nobody queues behind it.
local function step_out(R)
  if get(R, 'seg') == '' or get(R, 'hold') ~= '' or get(R, 'away') == '1' then return end
  put(R, 'away', '1')
  put(R, 'offered', '')
  leave_lanes(R)
end

-- The turn passes from a parcel that is done with to the next one.
local function pass_on(R, k)
  local lane = parcel_of(R, k).lane
  local parcels = count_of(R, 'ln:' .. lane) - 1
  put(R, 'ln:' .. lane, tostring(parcels))
  put(R, 'seg', tostring(k + 1))
  put(R, 'offered', '')
  if parcels == 0 then
    put(R, 'lanes', without(get(R, 'lanes'), lane))
    leave_lane(R, lane)
  end
end

-- The lane is free of this run's code: go on to its next step, its next parcel, or the next run in line.
local function advance(R)
  for _ = 1, SLICE do
    local k = get(R, 'seg')
    if k == '' or get(R, 'hold') ~= '' then return end
    if count_of(R, 'crit_left') == 0 then
      put(R, 'seg', '')
      leave_lanes(R)
      return
    end
    step_over(R, k)
    if cursor_of(R, k) <= parcel_of(R, k).last then
      if get(R, 'paused') ~= '' then return step_out(R) end
      return offer(R)
    end
    pass_on(R, k)
  end
  come_again(R)
end
