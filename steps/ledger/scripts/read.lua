-- read RUN FIRST COUNT -> {seq, gone} or {seq, known, state, created, settled_at, left, meta (with FIRST 0), outcomes, rolled_back}
-- COUNT outcomes from FIRST in ledger order, '' where there is none yet; at most SLICE at a time.
local key, first = RUN .. ARGV[3], tonumber(ARGV[4])
local seq = tonumber(call('HGET', SITE, 'seq') or '0')
local head = call('HMGET', key, 'state', 'created', 'settled_at', 'left', first == 0 and 'meta' or 'none', 'n', 'ep', 'older')
if not head[1] then return {seq, 'gone'} end
local fields = {}
for i = first, math.min(first + math.min(tonumber(ARGV[5]), SLICE), tonumber(head[6])) - 1 do fields[#fields + 1] = 'o' .. i end
local outcomes = #fields > 0 and call('HMGET', key, unpack(fields)) or {}
for at = 1, #outcomes do outcomes[at] = outcomes[at] or '' end
local R = {have = {state = head[1], ep = head[7] or '', older = head[8] or ''}}
return {seq, 'known', head[1], head[2], head[3] or '', head[4], head[5] or '', outcomes, was_rolled_back(R, seq) and '1' or ''}
