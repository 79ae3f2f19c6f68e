-- settle_and_claim_next, as settle, -> {seq, known, accepted, ready, more_runs, standing, more, steps, meta}
-- In a critical parcel the next step is granted only if this one's settle was accepted.
local R, k, accepted = settle_many(ARGV)
if not accepted then return R end
local granted, more = {}, false
local serial = parcel_of(R, k).lane ~= ''
if serial and string.find(accepted, '0') then
  save_runs()
  return {next_seq(), 'known', accepted, READY, MORE, standing(R), '0', {}, ''}
end
follow(R)
granted, more = grant(R, k, ARGV[5], tonumber(ARGV[6]))
if #granted == 0 then
  keep_moving(R, k)
elseif not serial and claimable(R, k) <= 0 then
  take_from_ready(R, k)
end
save_runs()
return {next_seq(), 'known', accepted, READY, MORE, standing(R), more and '1' or '0', granted, ''}
