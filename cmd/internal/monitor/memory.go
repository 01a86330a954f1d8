package monitor

import (
	"os"
	"runtime"
	"runtime/debug"

	"github.com/virtsentry/virtsentry/libvirt"
)

// garbage is how much of it there may be beside what lives, in percent, before it is collected: a quarter of Go's default. What lives is little, and grows with each domain; what
// becomes garbage in a second is little, too, so that collecting it more often takes a few hundredths of the daemon's time. GOGC in the environment overrides it.
const garbage = 25

// saveMemory keeps no account of what was allocated where, either: nobody asks the daemon for it.
func saveMemory() {
	runtime.MemProfileRate = 0
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
}

// Save keeps this process's Go code to one of the host's processors, and its C code's memory together ([libvirt.OneArena]). A hundred domains take a twentieth of one; with more of them, Go wakes others for each
// piece of work and has them look for more, which takes a quarter of the daemon's time, and the guests need them. What C code does, as libsvm's solver, is not held
// back. GOMAXPROCS in the environment overrides it.
func Save() {
	libvirt.OneArena()
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}
