-- Takes or renews the right to send a probe. KEYS: the right. ARGV: the process, the lease (milliseconds).
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
