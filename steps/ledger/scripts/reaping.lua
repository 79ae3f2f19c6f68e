-- Taking back what a dead or departing worker had claimed.

local MAX_DEATHS = 3
local DEADLINE_GRACE_MS = 2000 -- running attempts end by themselves within their time-out + 1 s

local function run_past_deadline(R)
  stop_run(R, 'timed_out', 'DeadlineExceeded', 'the run reached its deadline before this step settled', DEADLINE_GRACE_MS)
end

-- The grace of a stop is over: what still runs is settled; its lane stays shut until its code is known to have stopped.
local function end_running(R)
  if get(R, 'state') ~= 'open' or get(R, 'stop') == '' then return end
  put(R, 'final', '1')
  put(R, 'swept', '0')
  follow(R)
end

local function again(R, i, s, critical)
  hand_back(R, i, s, critical)
  if not critical then return publish_parallel(R, tonumber(s.parcel)) end
  if get(R, 'paused') ~= '' then return step_out(R) end
  offer(R)
end

-- How a claim comes back. An announced end is no death, and a death counts only for who was alone, in a lane or in a
-- process of its own: three of them settle the step as lost. What ran beside others is suspect and runs alone from now on.
local ANNOUNCED, DIED_ALONE, WORKER_DIED = 'announced', 'died alone', 'worker died'

local function take_back_one(worker, claim, fence, how)
  local run, index = string.match(claim, '^(.*):(%d+)$')
  local R, i = run_of(run), tonumber(index)
  call('HDEL', CLAIMS .. worker, claim)
  if not R then return end
  local s, critical = step_of(R, i), is_critical(R, i)
  if s.fence ~= fence then return end
  if s.state == 'settled' then return free_lane(R, i, s) end
  if s.state ~= 'running' then return end
  let_go(R, i, s, critical, true)
  if how == DIED_ALONE or how == WORKER_DIED and critical then
    s.deaths = s.deaths + 1
  elseif how == WORKER_DIED then
    put(R, 'sus', '1')
    put(R, 'q' .. i, '1')
  end
  local status, payload = stopped_outcome(R, i, s)
  if not status and s.deaths >= MAX_DEATHS then
    status = 'lost'
    payload = settlement('lost', s.attempts, 'WorkerLost', 'the process it ran in died ' .. s.deaths .. ' times')
  end
  if not status then return again(R, i, s, critical) end
  if critical then put(R, 'c' .. s.parcel, i + 1) end
  fix(R, i, s, 'vacated', status, payload)
  follow(R)
  keep_moving(R, tonumber(s.parcel))
end
