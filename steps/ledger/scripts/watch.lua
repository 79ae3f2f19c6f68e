-- watch INBOX MARKS RUN... -> {seq, state...}  (gone | open | sweeping | settled, in the order asked)
-- Adds the inbox to each run's watchers, and lets the deadline of a run fire, and a stop go on, even where no worker lives.
local inbox = ARGV[3]
local MAX_WATCHERS = 50
if inbox ~= '' then call('SET', ALIVE .. inbox, '1', 'EX', ALIVE_S) end
local reply = {}
confirm_published(ARGV[4])
for at = 5, #ARGV do
  local R = run_of(ARGV[at])
  if not R then
    reply[#reply + 1] = 'gone'
  elseif get(R, 'state') ~= 'open' then
    reply[#reply + 1] = 'settled'
  else
    local watchers, _, commas = get(R, 'watch'), string.gsub(get(R, 'watch'), ',', '')
    if inbox ~= '' and not string.find(',' .. watchers .. ',', ',' .. inbox .. ',', 1, true) and commas < MAX_WATCHERS - 1 then
      put(R, 'watch', watchers == '' and inbox or watchers .. ',' .. inbox)
    end
    local grace_ends = call('ZSCORE', DUE, 'final:' .. R.id)
    if grace_ends and tonumber(grace_ends) <= NOW_MS then
      call('ZREM', DUE, 'final:' .. R.id) -- once: the sweep begins anew here, and goes on a slice a look
      end_running(R)
    elseif get(R, 'stop') ~= '' then
      follow(R)
    elseif get(R, 'qms') ~= '' and get(R, 'first') == '' and has_begun(R) and NOW_MS >= math.floor(tonumber(get(R, 'began')) / 1000) + get(R, 'qms') then
      end_unwanted(R)
    elseif has_begun(R) and NOW >= tonumber(get(R, 'deadline')) then
      run_past_deadline(R)
    end
    local is_open = get(R, 'state') == 'open'
    reply[#reply + 1] = is_open and (R.again and 'sweeping' or 'open') or 'settled'
  end
end
save_runs()
return {next_seq(), unpack(reply)}
