-- stage RUN KEEP_S (FIELD VALUE)... -> {seq} or {seq, no_room, used, limit}
-- Writes a large run's fields ahead of open, a slice at a time; they are gone after KEEP_S seconds if open never comes,
-- and at once where there is no room for more.
local key = RUN .. ARGV[3]
if call('HEXISTS', key, 'state') == 0 then
  local used, limit = no_room()
  if used then
    call('DEL', key)
    return {tonumber(call('HGET', SITE, 'seq') or '0'), 'no_room', used, limit}
  end
  call('HSET', key, unpack(ARGV, 5))
  call('EXPIRE', key, ARGV[4])
end
return {next_seq()}
