-- begin_epoch SEEN -> {seq}
-- A client was told SEEN, and then a lower sequence: Redis came back with older data, or none. Others may have written since,
-- so how high the sequence is by now says nothing. It jumps to the epoch after SEEN's, past all that was ever told, unless a
-- client that saw the same has begun that epoch: one of them begins it, and all others notice it.
local seen, seq = tonumber(ARGV[3]), tonumber(call('HGET', SITE, 'seq') or '0')
if epoch_of(seq) <= epoch_of(seen) then
  seq = (epoch_of(seen) + 1) * EPOCH_SPAN
  call('HSET', SITE, 'seq', num(seq), 'epoch_at', num(NOW_MS))
end
return {seq}
