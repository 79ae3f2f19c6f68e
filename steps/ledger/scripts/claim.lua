-- claim RUN PARCEL WORKER WANT WITH_META MARKS -> {seq, known, standing, more, steps, meta}
-- Grants up to WANT steps of the parcel; none where it is not their turn, they are taken, or the run has ended.
local R = run_of(ARGV[3], 'meta', parcel_fields(ARGV[4]))
if not R then return {next_seq(), 'gone'} end
confirm_published(ARGV[8])
local granted, more = grant(R, tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]))
save_runs()
return {next_seq(), 'known', standing(R), more and '1' or '0', granted, ARGV[7] == '1' and #granted > 0 and get(R, 'meta') or ''}
