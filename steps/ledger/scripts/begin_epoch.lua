-- begin_epoch SEEN -> {seq}
-- Redis came back with older data, or none: SEEN, a sequence that a client was told, is past that of the site. The sequence
-- jumps to the next epoch, past all that was ever told, so one of the clients begins it and all others notice it.
local seen, seq = tonumber(ARGV[3]), tonumber(call('HGET', SITE, 'seq') or '0')
if seq < seen then
  seq = (epoch_of(seen) + 1) * EPOCH_SPAN
  call('HSET', SITE, 'seq', num(seq), 'epoch_at', num(NOW_MS))
end
return {seq}
