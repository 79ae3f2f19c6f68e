-- pause RUN -> {seq, gone | settled | paused, ready, more_runs}
-- Nothing of the run starts any more; what runs, runs on. Its other entries leave their lanes: nobody waits for a person.
local R = run_of(ARGV[3])
if not R then return {next_seq(), 'gone', {}, {}} end
if get(R, 'state') ~= 'open' or get(R, 'stop') ~= '' then return {next_seq(), 'settled', {}, {}} end
if get(R, 'paused') == '' then
  put(R, 'paused', '1')
  emit(R, 'run.paused')
  step_out(R)
end
save_runs()
return {next_seq(), 'paused', READY, MORE}
