-- cancel_steps RUN FROM COUNT QUEUE REASON STOP_RUNNING -> {seq, gone | settled | known, ready, more_runs, cancelled, left}
-- Cancels the steps FROM .. FROM + COUNT - 1 that have not started, of QUEUE alone where one is named; with STOP_RUNNING 1
-- those that run are asked to stop and settle when they have. SLICE steps a call, the last ones first, so that none is skipped
-- for one before it; left: how many of COUNT are still to be looked at.
local R, from, count, queue = run_of(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
if not R then return {next_seq(), 'gone', {}, {}, 0, 0} end
if get(R, 'state') ~= 'open' or get(R, 'stop') ~= '' then return {next_seq(), 'settled', {}, {}, 0, 0} end
local last = math.min(count_of(R, 'n'), from + count) - 1
local first, cancelled, fields = math.max(from, last - SLICE + 1), 0, {}
for i = first, last do
  fields[#fields + 1] = 's' .. i
  fields[#fields + 1] = 'd' .. i
  if get(R, 'lim') == '1' then fields[#fields + 1] = 'm' .. i end
end
if #fields > 0 then load(R, fields) end
for i = first, last do
  local s = step_of(R, i)
  if queue ~= '' and parcel_of(R, parcel_at(R, i)).queue ~= queue then
    -- another queue's
  elseif s.state == 'running' then
    if ARGV[8] == '1' then
      put(R, 'off' .. i, ARGV[7])
      ask_to_stop(R, i, s)
      cancelled = cancelled + 1
    end
  elseif s.state ~= 'settled' and s.state ~= 'vacated' then
    fix(R, i, s, 'vacated', 'cancelled', settlement('cancelled', s.attempts, 'StepCancelled', ARGV[7]))
    cancelled = cancelled + 1
  end
end
follow(R)
-- A run that had stepped out of its lanes for a step that is cancelled now comes back for the others.
local k = get(R, 'seg')
if get(R, 'away') == '1' and get(R, 'paused') == '' and k ~= '' and step_of(R, cursor_of(R, k)).state ~= 'delayed' then
  put(R, 'away', '')
  enter_lanes(R, lanes_ahead(R))
end
save_runs()
return {next_seq(), 'known', READY, MORE, cancelled, first - from}
