package doctor

import (
	"errors"
	"fmt"
	"io/fs"
)

// Status says how a finding is to be taken.
type Status string

// The statuses, from the best to the worst.
const (
	OK      Status = "ok"
	Warning Status = "warning" // works, but less well than it could
	Unknown Status = "unknown" // could not be found out: never to be taken for ok
	Problem Status = "problem" // as long as it is so, a domain is not seen, or not all of it
)

// ID names what was looked at. The list is closed.
type ID string

// What is looked at on the host.
const (
	Configuration ID = "configuration"    // the daemon's configuration file
	Daemon        ID = "virtsentryd"      // it answers, and may be asked
	Libvirt       ID = "libvirt"          // its run-time directory can be read
	SessionDaemon ID = "session-daemon"   // LTTng's, of root, takes connections
	HostABI       ID = "ust-abi"          // which versions of LTTng-UST it takes
	SessionAccess ID = "session-access"   // this user may give it orders
	WaitFile      ID = "wait-file"        // by which it wakes the applications that were started before it
	Memory        ID = "memory"           // there is room for ring buffers
	ClockSync     ID = "clock"            // the wall clock is synchronised
	ClockSource   ID = "clock-source"     // the clock of trace points is cheap to read
	AppArmor      ID = "apparmor"         // what libvirt's rules say of LTTng
	SELinux       ID = "selinux"          // whether it might interfere
	Helper        ID = "virtsentry-probe" // the privileged helper answers, and may be asked
	EBPF          ID = "ebpf"             // the kernel has what its programs need
	Tracefs       ID = "tracefs"          // mounted, for one of its sources
)

// What is looked at of a domain.
const (
	Process     ID = "process"      // QEMU runs
	TracePoints ID = "trace-points" // it has the ust trace backend
	ABI         ID = "ust-abi"      // its LTTng-UST and the session daemon understand each other
	Registered  ID = "registered"   // it is connected to the session daemon
	Confinement ID = "confinement"  // AppArmor lets it
	Namespaces  ID = "namespaces"   // it is in those of the host, as far as it matters
	TraceClock  ID = "trace-clock"  // its time stamps are the host's
	Network     ID = "network"      // packets pass QEMU
	Devices     ID = "devices"      // so does what passes other devices
	Sources     ID = "sources"      // what virtsentry-probe can see of it
	State       ID = "state"        // what the daemon says of it
)

// Finding is one thing that was looked at.
type Finding struct {
	Check  ID     `json:"check"`
	Domain string `json:"domain,omitempty"` // its name; empty: the host
	UUID   string `json:"uuid,omitempty"`   // of the domain, where it is known
	Status Status `json:"status"`
	Text   string `json:"text"`             // what is
	Remedy string `json:"remedy,omitempty"` // what to do about it; with every status but OK
}

// Count is how many of the findings have the status.
func Count(findings []Finding, s Status) (n int) {
	for _, f := range findings {
		if f.Status == s {
			n++
		}
	}
	return n
}

func ok(id ID, format string, args ...any) Finding {
	return Finding{Check: id, Status: OK, Text: fmt.Sprintf(format, args...)}
}

func bad(id ID, s Status, remedy, format string, args ...any) Finding {
	return Finding{Check: id, Status: s, Text: fmt.Sprintf(format, args...), Remedy: remedy}
}

// asRoot is what helps a user who may not read something.
const asRoot = "run it as root: sudo virtsentry doctor"

// unread says that something could not be found out, since what could not be read.
func unread(id ID, what string, err error) Finding {
	f := Finding{Check: id, Status: Unknown}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		f.Text, f.Remedy = fmt.Sprintf("%s may not be read by this user", what), asRoot
	case errors.Is(err, fs.ErrNotExist):
		f.Text, f.Remedy = fmt.Sprintf("%s is not there", what), "if the domain has just ended or started, run virtsentry doctor again"
	default:
		f.Text, f.Remedy = fmt.Sprintf("%s could not be read: %v", what, err), "run virtsentry doctor again; as root, if it was not"
	}
	return f
}
