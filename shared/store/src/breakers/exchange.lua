-- Applies changes of breakers and returns the state of each account. The rules are those of `kept.rs`, by the clock of
-- Redis.
--
-- KEYS: a hash for each account. ARGV: for each account the version that the caller has seen, the change ('', 'works' or
-- 'closed'), and of a closure the time that is left (milliseconds), parks, throttles, cause ('' if none), age of the run
-- (milliseconds). Answers, for each account: version, time left, parks, throttles, cause, age of the run.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local states = {}
for account = 1, #KEYS do
    local key, at = KEYS[account], 7 * (account - 1)
    local seen, change = tonumber(ARGV[at + 1]), ARGV[at + 2]
    local kept = redis.call('HMGET', key, 'version', 'until', 'parks', 'throttles', 'cause', 'begun')
    local version, ends = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
    local parks, throttles = tonumber(kept[3] or 0), tonumber(kept[4] or 0)
    local cause, begun = kept[5] or '', tonumber(kept[6] or 0)
    local changes = false
    if change == 'works' and seen == version and version > 0 then
        ends, parks, throttles, cause, begun, changes = 0, 0, 0, '', 0, true
    elseif change == 'closed' then
        if seen == version then
            ends, parks, throttles, cause = 0, 0, 0, ''
        end
        ends = math.max(ends, now + tonumber(ARGV[at + 3]))
        parks = math.max(parks, tonumber(ARGV[at + 4]))
        throttles = math.max(throttles, tonumber(ARGV[at + 5]))
        if ARGV[at + 6] ~= '' then
            cause = ARGV[at + 6]
        end
        begun, changes = math.max(0, now - tonumber(ARGV[at + 7])), true
    end
    if changes then
        version = math.max(now, version + 1)
        redis.call('HSET', key, 'version', string.format('%d', version), 'until', string.format('%d', ends),
            'parks', string.format('%d', parks), 'throttles', string.format('%d', throttles),
            'cause', cause, 'begun', string.format('%d', begun))
        -- A day after its end, the workers that still send through the account have learnt its state by themselves.
        redis.call('PEXPIRE', key, string.format('%d', math.max(0, ends - now) + 86400000))
    end
    states[account] = {
        string.format('%d', version), string.format('%d', math.max(0, ends - now)), string.format('%d', parks),
        string.format('%d', throttles), cause, string.format('%d', math.max(0, now - begun)),
    }
end
return states
