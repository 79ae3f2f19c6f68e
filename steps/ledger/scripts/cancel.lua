-- cancel RUN REASON GRACE_MS -> {seq, gone | settled | cancelled, ready, more_runs}
-- One flag that claim obeys at once; the outcomes follow in slices, running steps end within the grace.
local R = run_of(ARGV[3])
if not R then return {next_seq(), 'gone', {}, {}} end
local open = get(R, 'state') == 'open'
if open then stop_run(R, 'cancelled', 'RunCancelled', ARGV[4], tonumber(ARGV[5])) end
save_runs()
return {next_seq(), open and 'cancelled' or 'settled', READY, MORE}
