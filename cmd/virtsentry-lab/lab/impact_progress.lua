-- Says on standard output how far a test of sysbench is: lines of the time and the number of events that are done. It stands before a test's event().
local ffi = require("ffi")
ffi.cdef [[
typedef struct { long s, ns; } progress_time;
int clock_gettime(int clock, progress_time *t);
]]
local now, done = ffi.new("progress_time"), 0

-- progress wraps a test's event: each so many events are told.
function progress(work, each)
	return function(thread)
		work(thread)
		done = done + 1
		if done % each == 0 then
			ffi.C.clock_gettime(0, now)
			io.write(string.format("at %d.%09d %d\n", tonumber(now.s), tonumber(now.ns), done))
		end
	end
end
