-- How a run moves on: gates, outcomes, stops. Every verb's script stands on these.

local function settlement(status, attempts, kind, message)
  local parts = {'{"status":"' .. status .. '"'}
  if attempts > 0 then parts[#parts + 1] = '"attempts":' .. attempts end
  parts[#parts + 1] = '"error":{"type":' .. cjson.encode(kind) .. ',"message":' .. cjson.encode(message) .. '}'
  return table.concat(parts, ',') .. '}'
end

-- parallel parcels ----------------------------------------------------------------------------------------------

-- A run that waits for others has not; one that an earlier release has opened, without a priority, has.
local function has_begun(R) return get(R, 'began') ~= '' or get(R, 'prio') == '' end

local function gate_is_open(R)
  if not has_begun(R) then return false end
  return get(R, 'order') ~= 'c' or count_of(R, 'crit_left') == 0 or get(R, 'state') == 'body'
end

-- The completion body's parcel is for after all the others, and no other one is then.
local function is_turn(R, k)
  return get(R, 'state') == (tostring(k) == get(R, 'np') and 'body' or 'open')
end

local function claimable(R, k)
  if get(R, 'stop') ~= '' or get(R, 'paused') ~= '' or not is_turn(R, k) then return 0 end
  local _, loose = string.gsub(get(R, 'l' .. k), ',', '')
  return parcel_of(R, k).last - cursor_of(R, k) + 1 + loose
end

local function publish_parallel(R, k)
  local waiting = math.min(claimable(R, k), count_of(R, 'maxc'))
  if waiting <= 0 then return end
  local workers = call('SCARD', QUEUE .. parcel_of(R, k).queue)
  if get(R, 'r' .. k) == '' then put(R, 'r' .. k, NOW_US_TEXT) end
  publish(R, k, math.max(1, math.min(math.ceil(waiting / count_of(R, 'wave')), workers)))
end

local function open_gate(R)
  if get(R, 'gate') == '1' or not gate_is_open(R) then return end
  put(R, 'gate', '1')
  for k = tonumber(get(R, 'segs')), tonumber(get(R, 'np')) - 1 do publish_parallel(R, k) end
end

-- coming back ---------------------------------------------------------------------------------------------------

local function hand_back(R, i, s, critical)
  s.state, s.ready = 'ready', NOW_US_TEXT
  put_step(R, s)
  if critical then put(R, 'offered', '') else put(R, 'l' .. s.parcel, get(R, 'l' .. s.parcel) .. i .. ',') end
end

-- The wait of a step is over: it is offered again, from the tail of its lanes where its run had stepped out of them.
local function resume(R, i)
  local s = step_of(R, i)
  if s.state ~= 'delayed' then return end
  hand_back(R, i, s, is_critical(R, i))
  if not is_critical(R, i) then return publish_parallel(R, tonumber(s.parcel)) end
  if get(R, 'paused') ~= '' then return step_out(R) end
  if get(R, 'away') == '1' then
    put(R, 'away', '')
    enter_lanes(R, lanes_ahead(R))
  else
    offer(R)
  end
end

-- statistics ----------------------------------------------------------------------------------------------------

local function name_of(R, i)
  local text = get(R, 'd' .. i)
  local plain = string.match(text, '^{"id":"[^"]*","name":"([^"\\]*)"')
  if plain then return plain end
  local is_json, decoded = pcall(cjson.decode, text)
  return is_json and decoded.name or ''
end

local STATUS_AT = {succeeded = 1, failed = 2, timed_out = 3, cancelled = 4, skipped = 5, lost = 6}

local function tally_of(R)
  if not R.tally then
    R.tally = {}
    for count in string.gmatch(get(R, 'tally'), '%d+') do R.tally[#R.tally + 1] = tonumber(count) end
    if #R.tally ~= 6 then R.tally = {0, 0, 0, 0, 0, 0} end
  end
  return R.tally
end

local LONGEST_MS = 1e12 -- what is more would not fit into a count

local function count_step(R, i, status, payload)
  local tally, at, name = tally_of(R), STATUS_AT[status], name_of(R, i)
  tally[at] = tally[at] + 1
  R.has_counted = true
  add(SITE_COUNTS, status, 1)
  if name == '' then return end
  local counts = counts_of_step(name)
  add(counts, status, 1)
  local ran_ms = tonumber(string.match(payload, '"ran_ms":([%d.eE+-]+)') or '0') or 0
  if ran_ms <= 0 or ran_ms > LONGEST_MS then return end
  local ran_us = math.floor(ran_ms * 1000 + 0.5)
  add(counts, 'us', ran_us)
  add(counts, bucket_of(ran_us), 1)
end

local function count_run(R)
  local took_us, critical = NOW - tonumber(get(R, 'created')), count_of(R, 'ncrit')
  add(SITE_COUNTS, 'runs', 1)
  add(SITE_COUNTS, 'run_us', took_us)
  add(SITE_COUNTS, bucket_of(took_us), 1)
  if critical > 0 then add(SITE_COUNTS, 'sequential', critical) end
  if count_of(R, 'n') > critical then add(SITE_COUNTS, 'parallel', count_of(R, 'n') - critical) end
  if tally_of(R)[1] == count_of(R, 'n') then add(SITE_COUNTS, 'runs_ok', 1) end
end

-- outcomes ------------------------------------------------------------------------------------------------------

local function close(R)
  if get(R, 'state') == 'body' then call('ZADD', CLOSED_RUNS, NOW_MS_TEXT, R.id) end
  put(R, 'state', 'closed')
  call('EXPIRE', R.key, RESULT_TTL_S)
  call('EXPIRE', EVENTS .. R.id, RESULT_TTL_S)
  if get(R, 'key') ~= '' then call('EXPIRE', KEY .. get(R, 'key'), RESULT_TTL_S) end
  if get(R, 'latest') ~= '' and call('GET', LATEST .. get(R, 'latest')) == R.id then call('DEL', LATEST .. get(R, 'latest')) end
end

-- A critical body enters its lane when the run's last step has vacated its own.
local function start_body(R)
  local k = get(R, 'np')
  local lane = parcel_of(R, k).lane
  put(R, 'state', 'body')
  put(R, 'stop', '')
  put(R, 'paused', '') -- all its steps have settled: nobody could resume it any more
  if lane == '' then
    publish_parallel(R, k)
  elseif get(R, 'hold') == '' then
    put(R, 'seg', k)
    put(R, 'segs', tostring(k + 1))
    put(R, 'offered', '')
    put(R, 'away', '')
    put(R, 'crit_left', '1')
    put(R, 'ln:' .. lane, '1')
    enter_lanes(R, lane)
  end
end

-- Runs that were to wait for this one: the last one they waited for lets them begin.
local function let_followers_go(R)
  for id in string.gmatch(get(R, 'next'), '[^,]+') do
    local F = run_of(id)
    if F and count_of(F, 'waits') > 0 and get(F, 'state') == 'open' then
      put(F, 'waits', count_of(F, 'waits') - 1)
      if count_of(F, 'waits') == 0 then come_again(F) end
    end
  end
end

local function complete(R)
  local cancelled = string.match(get(R, 'stop'), '^cancelled|') ~= nil
  put(R, 'settled_at', NOW_US_TEXT)
  if was_rolled_back(R, next_seq()) then put(R, 'older', '1') end
  emit(R, 'run.completed')
  notify(R)
  call('ZREM', DUE, 'deadline:' .. R.id, 'final:' .. R.id, 'queued:' .. R.id)
  call('ZREM', OPEN_RUNS, R.id)
  call('ZADD', CLOSED_RUNS, NOW_MS_TEXT, R.id)
  count_run(R)
  let_followers_go(R)
  if get(R, 'body') == '' then
    close(R)
  elseif cancelled then
    put(R, 'o' .. get(R, 'n'), settlement('cancelled', 0, 'RunCancelled', 'the run was cancelled before its completion body began'))
    close(R)
  else
    start_body(R)
  end
end

local leave_line -- of the limits
local EVENT_OF = {succeeded = 'step.completed', skipped = 'step.skipped', cancelled = 'step.cancelled'}

-- Write down the one outcome of a step. What follows from it for its run is settled_all()'s to find.
local function fix(R, i, s, state, status, payload)
  s.state = state
  put_step(R, s)
  put(R, 'o' .. i, payload)
  emit(R, EVENT_OF[status] or 'step.failed', i, s, status)
  local critical = is_critical(R, i)
  if i == count_of(R, 'n') then
    R.body_done = true
    if critical then put(R, 'crit_left', '0') end
    return
  end
  count_step(R, i, status, payload)
  if state == 'vacated' then leave_line(R, i) end
  put(R, 'left', count_of(R, 'left') - 1)
  local queue = parcel_of(R, parcel_at(R, i)).queue
  R.fixed[queue] = (R.fixed[queue] or 0) + 1
  if critical then
    put(R, 'crit_left', count_of(R, 'crit_left') - 1)
    local skips = status ~= 'succeeded' and get(R, 'strat') == 'b' and get(R, 'skip') == '' and get(R, 'stop') == ''
    if skips and count_of(R, 'crit_left') > 0 then
      put(R, 'skip', (i + 1) .. '|' .. i)
    end
  end
end

local STOPS_KEPT = 10000 -- for a worker that does not fetch them; a running step ends at its own time-out too

local function ask_to_stop(R, i, s)
  call('RPUSH', STOPS .. s.worker, claim_field(R, i))
  call('LTRIM', STOPS .. s.worker, -STOPS_KEPT, -1)
end

-- Settle what has not started, from step `from` as far as the budget goes; returns where to go on.
local function end_unstarted(R, from, last, on_running, verdict)
  local till = math.min(last, from + budget - 1)
  budget = budget - (till - from + 1)
  local fields = {}
  for i = from, till do
    fields[#fields + 1] = 's' .. i
    fields[#fields + 1] = 'd' .. i
    if get(R, 'lim') == '1' then fields[#fields + 1] = 'm' .. i end
  end
  if #fields > 0 then load(R, fields) end
  for i = from, till do
    local s = step_of(R, i)
    if s.state == 'running' then
      on_running(i, s)
    elseif s.state ~= 'settled' and s.state ~= 'vacated' then
      local status, kind, message = verdict(s)
      fix(R, i, s, 'vacated', status, settlement(status, s.attempts, kind, message))
    end
  end
  return till + 1
end

local function sweep_stop(R)
  local status, kind, message = string.match(get(R, 'stop'), '^([^|]*)|([^|]*)|(.*)$')
  local final, last = get(R, 'final') == '1', tonumber(R.have.n) - 1
  local from = count_of(R, 'swept')
  if from > last then return end
  local till = end_unstarted(R, from, last, function(i, s)
    if not final then return ask_to_stop(R, i, s) end
    if not is_critical(R, i) then put(R, 'running', count_of(R, 'running') - 1) end
    fix(R, i, s, 'settled', status, settlement(status, s.attempts, kind, message))
  end, function() return status, kind, message end)
  put(R, 'swept', till)
  return till <= last
end

local function sweep_skip(R)
  local from, failed = string.match(get(R, 'skip'), '^(%d+)|(%d+)$')
  local last = tonumber(R.have.ncrit) - 1
  local name = string.match(get(R, 'd' .. failed), '"id":"([^"]*)"') or failed
  local message = 'step ' .. name .. ' before it did not succeed'
  local till = end_unstarted(R, tonumber(from), last, function() end,
    function() return 'skipped', 'Skipped', message end)
  put(R, 'skip', till > last and '' or (till .. '|' .. failed))
  return till <= last
end

-- Its turn has come: the clock of its deadline starts, it takes its place in line.
local function begin(R)
  put(R, 'began', NOW_US_TEXT)
  emit(R, 'run.started')
  local allowed_us = tonumber(get(R, 'deadline')) - tonumber(get(R, 'created'))
  put(R, 'deadline', num(NOW + allowed_us))
  call('ZADD', DUE, num(NOW_MS + math.floor(allowed_us / 1000)), 'deadline:' .. R.id)
  if get(R, 'qms') ~= '' then call('ZADD', DUE, num(NOW_MS + get(R, 'qms')), 'queued:' .. R.id) end
  if get(R, 'segs') == '0' then return end
  put(R, 'seg', '0')
  if get(R, 'paused') ~= '' then
    put(R, 'away', '1')
  else
    enter_lanes(R, get(R, 'later'))
  end
end

-- Everything that follows from outcomes just fixed: skips, stops, gates, the end of the run.
local function follow(R)
  local more = false
  if not has_begun(R) and get(R, 'state') == 'open' and get(R, 'stop') == '' and count_of(R, 'waits') == 0 then begin(R) end
  if get(R, 'state') == 'open' then
    if get(R, 'stop') ~= '' then more = sweep_stop(R) elseif get(R, 'skip') ~= '' then more = sweep_skip(R) end
  end
  if more then come_again(R) end
  for queue, count in pairs(R.fixed) do call('HINCRBY', PENDING, queue, -count) end
  for queue, count in pairs(R.fixed) do
    local left = count_of(R, 'qp:' .. queue) - count
    put(R, 'qp:' .. queue, left)
    if left <= 0 then call('ZREM', BACKLOG .. queue, R.id) end
  end
  R.fixed = {}
  if R.body_done then
    advance(R)
    close(R)
  elseif get(R, 'state') == 'open' then
    advance(R)
    if count_of(R, 'left') > 0 then
      open_gate(R)
    elseif has_begun(R) or get(R, 'stop') ~= '' then
      complete(R)
    end
  else
    advance(R)
    if get(R, 'state') == 'body' and get(R, 'seg') == '' and parcel_of(R, get(R, 'np')).lane ~= '' then start_body(R) end
  end
end

-- End a run's steps with one status; running ones are asked to stop and settled after the grace.
local function stop_run(R, status, kind, message, grace_ms)
  if get(R, 'state') ~= 'open' or get(R, 'stop') ~= '' then return false end
  put(R, 'stop', status .. '|' .. kind .. '|' .. message)
  put(R, 'swept', '0')
  put(R, 'skip', '')
  call('ZADD', DUE, num(NOW_MS + grace_ms), 'final:' .. R.id)
  follow(R)
  return true
end

-- A run of which no step has started in the time that its caller gave it is not wanted any more.
local function end_unwanted(R)
  if get(R, 'first') ~= '' or get(R, 'qms') == '' then return end
  stop_run(R, 'timed_out', 'QueueTimeout', 'no step of the run had started after ' .. get(R, 'qms') .. ' ms', 0)
end
