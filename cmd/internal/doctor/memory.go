package doctor

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
)

const possibleCPUs = "/sys/devices/system/cpu/possible"

// memory compares what a domain's ring buffers take with what is free: each possible CPU has its sub-buffers, and one more for a reader, in /dev/shm.
func (x *examination) memory(domains int) {
	text, err := x.line(possibleCPUs)
	if err != nil {
		x.say(unread(Memory, possibleCPUs, err))
		return
	}
	cpus, err := countCPUs(text)
	if err != nil {
		x.say(unread(Memory, possibleCPUs, err))
		return
	}
	free, err := x.System.Free(x.path(shmDir))
	if err != nil {
		x.say(unread(Memory, shmDir, err))
		return
	}
	const mib = 1 << 20
	c := x.cfg.LTTng
	size, each := subBuffer(c, cpus)
	say := fmt.Sprintf("ring buffers take %.1f MiB a domain (%d possible %s × %d × %d KiB); %.0f MiB are free in %s", float64(each)/mib, cpus, plural(cpus, "CPU"),
		c.SubBuffers+1, size>>10, float64(free)/mib, shmDir)
	taken := 0
	for _, d := range x.watched {
		if d.BufferBytes > 0 {
			taken++
		}
	}
	wanted := each * uint64(max(1, domains-taken)) // one more, at least
	fewer := ", or lower lttng.sub_buffers or lttng.sub_buffer_bytes, in " + x.Config
	more := "mount -o remount,size=SIZE " + shmDir + fewer
	switch {
	case each > c.DomainBufferBytes:
		x.say(bad(Memory, Problem, "raise lttng.domain_buffer_bytes"+fewer, "%s: more than lttng.domain_buffer_bytes allows (%.1f MiB)", say, float64(c.DomainBufferBytes)/mib))
	case each*uint64(max(1, domains)) > c.TotalBufferBytes:
		x.say(bad(Memory, Problem, "raise lttng.total_buffer_bytes"+fewer, "%s: all domains take more than lttng.total_buffer_bytes allows (%.1f MiB)", say, float64(c.TotalBufferBytes)/mib))
	case wanted > free:
		x.say(bad(Memory, Problem, more, "%s: %.1f MiB are wanted", say, float64(wanted)/mib))
	case wanted > free/2:
		x.say(bad(Memory, Warning, more, "%s: %.1f MiB are wanted, more than half of it", say, float64(wanted)/mib))
	default:
		x.say(ok(Memory, "%s", say))
	}
}

// subBuffer is the size of sub-buffers that virtsentryd chooses, and what the buffers of a domain take then, both in bytes: it makes them smaller,
// down to a page, to stay within what a domain may take.
func subBuffer(c config.LTTng, cpus int) (size, all uint64) {
	const smallest = 4096
	size = c.SubBufferBytes
	for {
		all = uint64(cpus) * (c.SubBuffers + 1) * size
		if all <= c.DomainBufferBytes || size <= smallest {
			return size, all
		}
		size /= 2
	}
}

// countCPUs counts those in a list such as 0-3,8-11 (cpuset(7), List format).
func countCPUs(list string) (n int, err error) {
	const most = 1 << 20
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA != nil || errB != nil || a < 0 || b < a || b >= most {
			return 0, fmt.Errorf("%.40q is no list of CPUs", list)
		}
		n += b - a + 1
	}
	return n, nil
}
