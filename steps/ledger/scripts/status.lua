-- status RUN... -> {seq, now_us, {gone} or {field, value, ...}, ...}, in the order asked
-- What there is to say of each run without its outcomes; of an open one also what it waits for.
local PLAIN = {'state', 'name', 'mode', 'strat', 'order', 'prio', 'n', 'ncrit', 'left', 'tally', 'created', 'began', 'first',
  'settled_at', 'deadline', 'stop', 'after', 'waits', 'running', 'maxc', 'hold', 'away', 'paused', 'ep', 'older'}
local MOST_DELAYED = 20

local function lane_facts(R, tell)
  local k = get(R, 'seg')
  if k == '' then return end
  local p = parcel_of(R, k)
  tell('lane', p.lane)
  tell('lane_queue', p.queue)
  tell('lane_head', call('ZRANGE', LANE .. p.lane, 0, 0)[1] or '')
  tell('lane_holder', call('HGET', LANES, p.lane) or '')
end

local function parallel_facts(R, tell)
  tell('gate', gate_is_open(R) and '1' or '')
  local seen = {}
  for k = tonumber(get(R, 'segs')), tonumber(get(R, 'np')) - 1 do
    local queue = parcel_of(R, k).queue
    if claimable(R, k) > 0 and not seen[queue] then
      seen[queue] = true
      tell('unclaimed', queue)
    end
  end
end

-- What a step in line waits for: a place, or the time of its start.
local function held_for(R, i)
  local name, most = limits_of(R, i)
  if not name or not call('ZSCORE', HELD .. name, claim_field(R, i)) then return '' end
  return most and call('SCARD', PLACES .. name) >= most and 'place' or 'start'
end

local function delayed_facts(R, tell)
  local fields, told = {}, 0
  for i = 0, math.min(count_of(R, 'n'), SLICE) - 1 do fields[#fields + 1] = 's' .. i end
  if #fields > 0 then load(R, fields) end
  for i = 0, #fields - 1 do
    local s = step_of(R, i)
    if s.state == 'delayed' and told < MOST_DELAYED then
      told = told + 1
      tell('delayed', i .. '|' .. s.ready .. '|' .. s.failures .. '|' .. held_for(R, i))
    end
  end
end

local reply, seq = {}, tonumber(call('HGET', SITE, 'seq') or '0')
for at = 3, #ARGV do
  local R, facts = run_of(ARGV[at]), {}
  local function tell(name, value)
    facts[#facts + 1] = name
    facts[#facts + 1] = value
  end
  if R then
    load(R, PLAIN)
    for _, name in ipairs(PLAIN) do tell(name, get(R, name)) end
    tell('rolled_back', was_rolled_back(R, seq) and '1' or '')
    if get(R, 'state') == 'open' and get(R, 'stop') == '' and count_of(R, 'waits') == 0 then
      lane_facts(R, tell)
      parallel_facts(R, tell)
      delayed_facts(R, tell)
    end
  end
  reply[#reply + 1] = #facts > 0 and facts or {'gone'}
end
return {seq, NOW_US_TEXT, unpack(reply)}
