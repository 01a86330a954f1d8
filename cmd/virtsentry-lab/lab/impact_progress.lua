-- Says on standard output how far a test of sysbench is: lines of the time, the number of events that are done, and the number of steps of the next one.
-- It stands before a test's event().
local ffi = require("ffi")
ffi.cdef [[
typedef struct { long s, ns; } progress_time;
int clock_gettime(int clock, progress_time *t);
]]
local now, done = ffi.new("progress_time"), 0

local function tell(step)
	ffi.C.clock_gettime(0, now)
	io.write(string.format("at %d.%09d %d %d\n", tonumber(now.s), tonumber(now.ns), done, step))
end

-- progress wraps a test's event: each so many events are told.
function progress(work, each)
	return function(thread)
		work(thread)
		done = done + 1
		if done % each == 0 then
			tell(0)
		end
	end
end

-- steps has the ends of an event's steps be told, too: of functions, by their names, in the order in which the event calls them.
function steps(names)
	for number, name in ipairs(names) do
		local step = _G[name]
		_G[name] = function(...)
			step(...)
			tell(number)
		end
	end
end
