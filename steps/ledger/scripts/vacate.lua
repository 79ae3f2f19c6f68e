-- vacate RUN INDEX FENCE -> {seq, known, accepted, ready, more_runs}
-- Frees the lane of a settled step whose code is now known to have stopped.
local R, i = run_of(ARGV[3]), tonumber(ARGV[4])
if not R then return {next_seq(), 'gone'} end
local s = step_of(R, i)
local accepted = s.state == 'settled' and s.fence == ARGV[5]
if accepted then free_lane(R, i, s) end
save_runs()
return {next_seq(), 'known', accepted and '1' or '0', READY, MORE}
