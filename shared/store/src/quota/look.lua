-- Looks at limits as `take.lua` would judge them, and changes nothing. Messages that would be counted are counted for those
-- that follow in the same call. KEYS are those of `take.lua`. ARGV: now (microseconds), then for each check: max, window
-- (milliseconds), and a number that the checks of one message share.
local now = tonumber(ARGV[1])
local verdicts, counted = {}, {}
local count = #KEYS / 2
local first = 1
while first <= count do
    local last = first
    while last < count and ARGV[3 * last + 4] == ARGV[3 * first + 1] do
        last = last + 1
    end
    local fresh, has_room = {}, true
    for check = first, last do
        local limit, known = KEYS[2 * check - 1], redis.call('GET', KEYS[2 * check])
        if not known then
            local max, window = tonumber(ARGV[3 * check - 1]), ARGV[3 * check] * 1000
            local after = string.format('(%d', now - window)
            local surplus = redis.call('ZCOUNT', limit, after, '+inf') + (counted[limit] or 0) - max
            known = '1'
            if surplus >= 0 then
                local oldest = redis.call('ZRANGEBYSCORE', limit, after, '+inf', 'WITHSCORES', 'LIMIT', surplus, 1)
                known = string.format('%d', (tonumber(oldest[2]) or now) + window)
            end
            fresh[#fresh + 1] = limit
        end
        has_room = has_room and known == '1'
        verdicts[check] = tonumber(known)
    end
    if has_room then
        for _, limit in ipairs(fresh) do
            counted[limit] = (counted[limit] or 0) + 1
        end
    end
    first = last + 1
end
return verdicts
