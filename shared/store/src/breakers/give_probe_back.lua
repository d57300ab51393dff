-- Gives the right to send a probe back. KEYS: the right. ARGV: the process.
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('DEL', KEYS[1])
end
return 1
