-- settle RUN PARCEL WORKER WANT VACATED WITH_META (INDEX FENCE KIND ARG PAYLOAD)... -> {seq, known, accepted, ready, more_runs}
-- Fixes the outcomes whose fence still holds; a refused one changes nothing. The caller claims no more of this parcel.
local R, k, accepted = settle_many(ARGV)
if not accepted then return R end
follow(R)
keep_moving(R, k)
save_runs()
return {next_seq(), 'known', accepted, READY, MORE}
