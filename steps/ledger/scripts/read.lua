-- read RUN FIRST COUNT -> {seq, gone} or {seq, known, state, created, settled_at, left, meta (with FIRST 0), outcomes...}
-- COUNT outcomes from FIRST in ledger order, '' where there is none yet; at most SLICE at a time.
local key, first = RUN .. ARGV[3], tonumber(ARGV[4])
local seq = call('HGET', SITE, 'seq') or '0'
local head = call('HMGET', key, 'state', 'created', 'settled_at', 'left', first == 0 and 'meta' or 'none', 'n')
if not head[1] then return {tonumber(seq), 'gone'} end
local fields = {}
for i = first, math.min(first + math.min(tonumber(ARGV[5]), SLICE), tonumber(head[6])) - 1 do fields[#fields + 1] = 'o' .. i end
local outcomes = #fields > 0 and call('HMGET', key, unpack(fields)) or {}
for at = 1, #outcomes do outcomes[at] = outcomes[at] or '' end
return {tonumber(seq), 'known', head[1], head[2], head[3] or '', head[4], head[5] or '', outcomes}
