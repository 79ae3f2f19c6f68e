-- Whether Redis has room for a new run. Those that were accepted need some to end, so new ones are refused before it is full.
--
-- The server itself is asked each time, which costs a few microseconds and is right at once, whoever lives. MEMORY_SHARE
-- is the share of `maxmemory` that may be in use, in thousandths.

local function number_in(told, name) return tonumber(string.match(told, '\n' .. name .. ':(%d+)')) or 0 end

-- What is in use and the limit, as text, where there is no room for another run; else nothing.
local function no_room()
  local told = redis.pcall('INFO', 'memory')
  local limit = type(told) == 'string' and number_in(told, 'maxmemory') or 0
  if limit == 0 then return end
  local used = number_in(told, 'used_memory') - number_in(told, 'mem_not_counted_for_evict')
  if used * 1000 < limit * MEMORY_SHARE then return end
  return num(used), num(limit)
end
