-- resume RUN -> {seq, gone | settled | resumed, ready, more_runs}
-- The run goes on, from the tail of its lanes; one whose next step waits for long comes back with that step.
local R = run_of(ARGV[3])
if not R then return {next_seq(), 'gone', {}, {}} end
if get(R, 'state') ~= 'open' then return {next_seq(), 'settled', {}, {}} end
if get(R, 'paused') ~= '' then
  put(R, 'paused', '')
  emit(R, 'run.resumed')
  local k = get(R, 'seg')
  if k ~= '' and get(R, 'away') == '1' then
    local s = step_of(R, cursor_of(R, k))
    if s.state ~= 'delayed' or (tonumber(s.ready) or 0) - NOW <= LANE_HOLD_MS * 1000 then
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
