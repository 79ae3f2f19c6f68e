-- stage RUN KEEP_S (FIELD VALUE)... -> {seq}
-- Writes a large run's fields ahead of open, a slice at a time; they are gone after KEEP_S seconds if open never comes.
local key = RUN .. ARGV[3]
if call('HEXISTS', key, 'state') == 0 then
  call('HSET', key, unpack(ARGV, 5))
  call('EXPIRE', key, ARGV[4])
end
return {next_seq()}
