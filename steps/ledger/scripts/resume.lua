-- resume RUN -> {seq, gone | settled | resumed, ready, more_runs}
-- The run goes on, from the tail of its lanes; one whose next step waits for long, or for a place, comes back with it.
local R = run_of(ARGV[3])
if not R then return {next_seq(), 'gone', {}, {}} end
if get(R, 'state') ~= 'open' then return {next_seq(), 'settled', {}, {}} end
if get(R, 'paused') ~= '' then
  put(R, 'paused', '')
  emit(R, 'run.resumed')
  local k = get(R, 'seg')
  if k ~= '' and get(R, 'away') == '1' then
    local i = cursor_of(R, k)
    local s = step_of(R, i)
    local waits_briefly = get(R, 'held' .. i) == '' and (tonumber(s.ready) or 0) - NOW <= LANE_HOLD_MS * 1000
    if s.state ~= 'delayed' or waits_briefly then
      put(R, 'away', '')
      enter_lanes(R, lanes_ahead(R))
    end
  end
  follow(R)
  if get(R, 'state') == 'open' and gate_is_open(R) then
    for parallel = tonumber(get(R, 'segs')), tonumber(get(R, 'np')) - 1 do publish_parallel(R, parallel) end
  end
end
save_runs()
return {next_seq(), 'resumed', READY, MORE}
