-- watch INBOX MARKS RUN... -> {seq, state...}  (gone | open | settled, in the order asked)
-- Adds the inbox to each run's watchers, and lets the deadline of a run fire even where no worker lives.
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
    local watchers, _, count = get(R, 'watch'), string.gsub(get(R, 'watch'), ',', '')
    if inbox ~= '' and not string.find(',' .. watchers .. ',', ',' .. inbox .. ',', 1, true) and count < MAX_WATCHERS then
      put(R, 'watch', watchers == '' and inbox or watchers .. ',' .. inbox)
    end
    local grace_ends = call('ZSCORE', DUE, 'final:' .. R.id)
    if grace_ends and tonumber(grace_ends) <= NOW_MS then
      end_running(R)
    elseif NOW >= tonumber(get(R, 'deadline')) then
      run_past_deadline(R)
    end
    reply[#reply + 1] = get(R, 'state') == 'open' and 'open' or 'settled'
  end
end
save_runs()
return {next_seq(), unpack(reply)}
