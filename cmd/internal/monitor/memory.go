package monitor

import (
	"os"
	"runtime/debug"
)

// garbage is how much of it there may be beside what lives, in percent, before it is collected: half as much as Go's default. What lives is little, and grows with each domain; what
// becomes garbage in a second is little, too, so that collecting it more often takes less than a hundredth of the daemon's time. GOGC in the environment overrides it.
const garbage = 50

func saveMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
}
