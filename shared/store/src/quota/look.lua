-- Looks at limits as `take.lua` would judge them, and changes nothing. KEYS are those of `take.lua`. ARGV: now (microseconds),
-- then for each check: max, window (milliseconds), and a number that is not used.
local now = tonumber(ARGV[1])
local verdicts = {}
for check = 1, #KEYS / 2 do
    local limit, known = KEYS[2 * check - 1], redis.call('GET', KEYS[2 * check])
    if not known then
        local max, window = tonumber(ARGV[3 * check - 1]), ARGV[3 * check] * 1000
        local after = string.format('(%d', now - window)
        local surplus = redis.call('ZCOUNT', limit, after, '+inf') - max
        known = '1'
        if surplus >= 0 then
            local oldest = redis.call('ZRANGEBYSCORE', limit, after, '+inf', 'WITHSCORES', 'LIMIT', surplus, 1)
            known = string.format('%d', tonumber(oldest[2]) + window)
        end
    end
    verdicts[check] = tonumber(known)
end
return verdicts
