package doctor

import "slices"

const clockSource = "/sys/devices/system/clocksource/clocksource0/"

// fast are the clock sources that user space reads without a system call (the kernel's vDSO). LTTng-UST reads the clock at each hit.
var fast = []string{"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "timebase", "tod", "riscv_clocksource"}

// clock looks at the host's two clocks: trace points are stamped with CLOCK_MONOTONIC, the times in states and profiles are the wall clock's.
func (x *examination) clock() {
	switch synchronised, err := x.System.ClockSynchronised(); {
	case err != nil:
		x.say(unread(ClockSync, "the clock's state", err))
	case !synchronised:
		x.say(bad(ClockSync, Warning, "keep the time with NTP: timedatectl set-ntp true, or apt-get install chrony",
			"the kernel does not know the wall clock to be synchronised: the times in states and profiles may be wrong; trace points use another clock and are right"))
	default:
		x.say(ok(ClockSync, "the wall clock is synchronised"))
	}

	source, err := x.line(clockSource + "current_clocksource")
	switch {
	case err != nil:
		x.say(unread(ClockSource, clockSource+"current_clocksource", err))
	case !slices.Contains(fast, source):
		available, _ := x.line(clockSource + "available_clocksource")
		x.say(bad(ClockSource, Warning, "if the kernel has a better one (tsc, kvm-clock), write its name to "+clockSource+"current_clocksource; journalctl -k --grep -i clocksource says why it was given up",
			"%s: not known to be read without a system call, so each hit of a trace point may cost many times as much (available: %s)", source, available))
	default:
		x.say(ok(ClockSource, "%s", source))
	}
}
