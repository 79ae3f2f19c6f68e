-- Settling: the fate of claimed attempts, in one go. Decisions are (index, fence, kind, status or delay, payload):
-- kind S settles with status and outcome, R is tried again after a delay (microseconds), P likewise but parked: it was no
-- failure and it steps out of its lanes, B is given back.

-- The next step of the parcel is ready from now on.
local function free(R, s)
  put(R, 'hold', '')
  put(R, 'r' .. s.parcel, NOW_US_TEXT)
end

local function let_go(R, i, s, critical, vacated)
  if critical then
    if vacated then free(R, s) end
  else
    put(R, 'running', count_of(R, 'running') - 1)
  end
  if vacated or not critical then
    drop_claim(s.worker, claim_field(R, i))
    give_place(R, i)
  end
end

-- A long wait steps out of the lanes: nobody queues behind a clock.
local function delay(R, i, s, critical, wait_us, parked)
  s.state, s.failures, s.ready = 'delayed', s.failures + (parked and 0 or 1), num(NOW + wait_us)
  put_step(R, s)
  emit(R, parked and 'step.parked' or 'step.retry', i, s)
  call('ZADD', DUE, num(math.floor((NOW + wait_us) / 1000)), 'retry:' .. R.id .. ':' .. i)
  if not critical then return end
  put(R, 'offered', '')
  if (parked or wait_us > LANE_HOLD_MS * 1000) and get(R, 'away') ~= '1' then
    put(R, 'away', '1')
    leave_lanes(R)
  end
end

-- How a step ends that was stopped, with its run or by itself; nothing where it was not.
local function end_of(R, i)
  if get(R, 'stop') ~= '' then return string.match(get(R, 'stop'), '^([^|]*)|([^|]*)|(.*)$') end
  if get(R, 'off' .. i) ~= '' then return 'cancelled', 'StepCancelled', get(R, 'off' .. i) end
end

local function stopped_outcome(R, i, s)
  local status, kind, message = end_of(R, i)
  if status then return status, settlement(status, s.attempts, kind, message) end
end

-- What is known of the attempt is kept.
local function stopped_while_running(R, i, payload)
  local status, kind, message = end_of(R, i)
  local outcome = cjson.decode(payload)
  outcome.status, outcome.error = status, {type = kind, message = message}
  return status, cjson.encode(outcome)
end

-- The code of a settled critical step has stopped: whoever is next in its lane may start.
local function free_lane(R, i, s)
  s.state = 'vacated'
  put_step(R, s)
  drop_claim(s.worker, claim_field(R, i))
  give_place(R, i)
  if get(R, 'hold') == tostring(i) then
    free(R, s)
    put(R, 'offered', '')
  end
  follow(R)
end

local function settle_one(R, i, fence, kind, arg, payload, vacated)
  local s = step_of(R, i)
  if s.fence ~= fence then return '0' end
  if s.state == 'settled' and vacated then free_lane(R, i, s) end
  if s.state ~= 'running' then return '0' end
  local critical = is_critical(R, i)
  let_go(R, i, s, critical, vacated)
  if kind == 'P' then s.attempts = s.attempts - 1 end -- its code never began
  if kind ~= 'S' and end_of(R, i) then
    kind = 'S'
    arg, payload = stopped_outcome(R, i, s)
  elseif arg == 'cancelled' and end_of(R, i) then
    arg, payload = stopped_while_running(R, i, payload)
  end
  if kind == 'S' then
    if critical then put(R, 'c' .. s.parcel, i + 1) end
    fix(R, i, s, (vacated or not critical) and 'vacated' or 'settled', arg, payload)
  elseif kind == 'R' or kind == 'P' then
    delay(R, i, s, critical, tonumber(arg), kind == 'P')
  else
    hand_back(R, i, s, critical)
  end
  return '1'
end

-- Nobody of this run's claimants is left to go on with the parcel: have it published again.
local function keep_moving(R, k)
  if parcel_of(R, k).lane == '' then
    if count_of(R, 'running') > 0 or not gate_is_open(R) then return end
    publish_parallel(R, k)
    -- Those of other queues may have been turned away while this one had all the run's places.
    for other = tonumber(get(R, 'segs')), tonumber(get(R, 'np')) - 1 do publish_parallel(R, other) end
  elseif get(R, 'seg') == tostring(k) and get(R, 'hold') == '' then
    put(R, 'offered', '')
    offer(R)
  end
end

-- ARGV from 3: RUN PARCEL WORKER WANT VACATED WITH_META decisions...
local function settle_many(ARGV)
  local k, accepted, vacated, fields = tonumber(ARGV[4]), {}, ARGV[7] == '1', {parcel_fields(ARGV[4])}
  for at = 9, #ARGV, 5 do
    fields[#fields + 1] = 's' .. ARGV[at]
    fields[#fields + 1] = 'd' .. ARGV[at]
  end
  local R = run_of(ARGV[3], unpack(fields))
  if not R then return {next_seq(), 'gone'} end
  for at = 9, #ARGV, 5 do
    accepted[#accepted + 1] = settle_one(R, tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], vacated)
  end
  return R, k, table.concat(accepted)
end
