package doctor

import (
	"errors"
	"io/fs"
	"os"
)

// namespaces looks whether QEMU sees the same /dev/shm and /run/lttng, and is known by the same process id, as the session daemon: libvirt gives
// each QEMU a /dev of its own, into which it mounts the host's /dev/shm.
func (x *examination) namespaces(pid int) {
	from := len(x.out)
	if _, err := x.readlink(ofProcess(pid, "ns/pid")); errors.Is(err, fs.ErrPermission) {
		x.say(unread(Namespaces, "QEMU's namespaces", err))
		return
	}
	for _, dir := range []string{shmDir, "/run/lttng"} {
		host, err := x.stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // was said, as far as it matters
		}
		var own fs.FileInfo
		if err == nil {
			own, err = x.stat(ofProcess(pid, "root"+dir))
		}
		switch hidden := errors.Is(err, fs.ErrNotExist); {
		case hidden, err == nil && !os.SameFile(host, own):
			x.say(bad(Namespaces, Problem, "have QEMU see the host's: with libvirt, namespaces = [] in /etc/libvirt/qemu.conf; with a container, mount the host's "+dir+" into it",
				"QEMU's %s is not the host's: it cannot find the session daemon", dir))
		case err != nil:
			x.say(unread(Namespaces, "QEMU's "+dir, err))
		}
	}
	x.sameNamespace(pid, "pid", Namespaces, Problem, "run lttng-sessiond and virtsentryd in QEMU's PID namespace, or QEMU in the host's",
		"QEMU is in another PID namespace: LTTng knows it by another process id than libvirt and virtsentryd")
	x.sameNamespace(pid, "user", Namespaces, Warning, "if it does not register, run QEMU in the host's user namespace",
		"QEMU is in another user namespace: LTTng sees another user")
	if len(x.out) == from {
		x.say(ok(Namespaces, "QEMU sees the host's %s and process ids", shmDir))
	}
}

// sameNamespace says something where a process is in another namespace than this one, or where it cannot be known: namespaces(7).
func (x *examination) sameNamespace(pid int, kind string, id ID, s Status, remedy, text string) {
	own, err := x.readlink("/proc/self/ns/" + kind)
	if errors.Is(err, fs.ErrNotExist) {
		return // a kernel without that kind
	}
	var other string
	if err == nil {
		other, err = x.readlink(ofProcess(pid, "ns/"+kind))
	}
	switch {
	case err != nil:
		x.say(unread(id, "QEMU's "+kind+" namespace", err))
	case own != other:
		x.say(bad(id, s, remedy, "%s", text))
	}
}

// traceClock looks whether QEMU's time stamps are the host's CLOCK_MONOTONIC: another time namespace shifts that, a plug-in of LTTng-UST replaces it.
func (x *examination) traceClock(pid int) {
	from := len(x.out)
	x.sameNamespace(pid, "time", TraceClock, Problem, "start QEMU in the host's time namespace",
		"QEMU is in another time namespace: its time stamps are shifted, and units are cut at the wrong times")
	if len(x.out) > from && x.out[from].Status == Unknown {
		return // nor is the rest known
	}
	const plugin = "LTTNG_UST_CLOCK_PLUGIN"
	switch value, err := x.variable(pid, plugin); {
	case err != nil:
		x.say(unread(TraceClock, "QEMU's environment", err))
	case value != "":
		x.say(bad(TraceClock, Problem, "take "+plugin+" from its environment (<qemu:env>, or libvirt's own), shut it down and start it",
			"%s=%s: its time stamps are not CLOCK_MONOTONIC", plugin, value))
	}
	if len(x.out) == from {
		x.say(ok(TraceClock, "trace points are stamped with the host's CLOCK_MONOTONIC"))
	}
}
