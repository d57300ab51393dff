-- Takes from limits, a batch a call. A limit is a sorted set of the times (microseconds) at which it was taken from, so
-- that "at most max in any window" is exact; it never holds more than max of them. A verdict is remembered by its
-- check's id, so that asking again gives the same answer and counts once. It is 1, or the time (microseconds) at which the
-- limit has room again. The checks of one message follow one another: it takes from all of its limits, or from none.
--
-- KEYS: for each check its limit and its verdict. ARGV: now (microseconds), how long verdicts are remembered
-- (milliseconds), then for each check: max, window (milliseconds), and a number that the checks of one message share.
local now, memory = tonumber(ARGV[1]), ARGV[2]
local verdicts = {}
local count = #KEYS / 2
local first = 1
while first <= count do
    local last = first
    while last < count and ARGV[3 * last + 5] == ARGV[3 * first + 2] do
        last = last + 1
    end
    local fresh, has_room = {}, true
    for check = first, last do
        local limit, verdict = KEYS[2 * check - 1], KEYS[2 * check]
        local known = redis.call('GET', verdict)
        if not known then
            local max, window = tonumber(ARGV[3 * check]), ARGV[3 * check + 1] * 1000
            redis.call('ZREMRANGEBYSCORE', limit, '-inf', string.format('%d', now - window))
            local surplus = redis.call('ZCARD', limit) - max
            known = '1'
            if surplus >= 0 then
                local oldest = redis.call('ZRANGE', limit, surplus, surplus, 'WITHSCORES')
                known = string.format('%d', tonumber(oldest[2]) + window)
            end
            fresh[check] = known
        end
        has_room = has_room and known == '1'
        verdicts[check] = tonumber(known)
    end
    for check, known in pairs(fresh) do
        local limit, verdict = KEYS[2 * check - 1], KEYS[2 * check]
        if has_room then
            redis.call('ZADD', limit, string.format('%d', now), verdict)
            redis.call('PEXPIRE', limit, ARGV[3 * check + 1])
        end
        redis.call('SET', verdict, known, 'PX', memory)
    end
    first = last + 1
end
return verdicts
