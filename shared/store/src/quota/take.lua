-- Takes from limits, a batch a call. A limit is a sorted set of the times (microseconds) at which it was taken from, so
-- that "at most max in any window" is exact; it never holds more than max of them. A verdict is remembered by its
-- check's id, so that asking again gives the same answer and counts once.
--
-- KEYS: for each check its limit and its verdict. ARGV: now (microseconds), how long verdicts are remembered
-- (milliseconds), then for each check: max, window (milliseconds).
local now, memory = tonumber(ARGV[1]), ARGV[2]
local verdicts = {}
for check = 1, #KEYS / 2 do
    local limit, verdict = KEYS[2 * check - 1], KEYS[2 * check]
    local known = redis.call('GET', verdict)
    if not known then
        local max, window = tonumber(ARGV[2 * check + 1]), ARGV[2 * check + 2]
        redis.call('ZREMRANGEBYSCORE', limit, '-inf', string.format('%d', now - window * 1000))
        if redis.call('ZCARD', limit) < max then
            redis.call('ZADD', limit, string.format('%d', now), verdict)
            redis.call('PEXPIRE', limit, window)
            known = '1'
        else
            known = '0'
        end
        redis.call('SET', verdict, known, 'PX', memory)
    end
    verdicts[check] = tonumber(known)
end
return verdicts
