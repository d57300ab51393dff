-- Looks at limits as `take.lua` would judge them, and changes nothing. KEYS and ARGV are those of `take.lua`, without the
-- memory of verdicts: now (microseconds), then for each check: max, window (milliseconds).
local now = tonumber(ARGV[1])
local verdicts = {}
for check = 1, #KEYS / 2 do
    local known = redis.call('GET', KEYS[2 * check])
    if not known then
        local max, window = tonumber(ARGV[2 * check]), ARGV[2 * check + 1]
        local taken = redis.call('ZCOUNT', KEYS[2 * check - 1], string.format('(%d', now - window * 1000), '+inf')
        known = taken < max and '1' or '0'
    end
    verdicts[check] = tonumber(known)
end
return verdicts
