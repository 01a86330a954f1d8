package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// registration looks whether QEMU and the session daemon understand each other, and are connected. It says the latter, too.
func (x *examination) registration(t target, pid int, lib library) (connected bool) {
	if !x.session.answers {
		x.say(bad(Registered, Problem, "start lttng-sessiond as said of session-daemon; QEMU registers within seconds, and need not be started again", "not registered: no session daemon answers"))
		return false
	}
	if !x.understood(t, pid, lib) {
		return false
	}
	sockets, err := x.connections(pid)
	i := slices.IndexFunc(sockets, func(name string) bool {
		return strings.Contains(name, "/lttng/"+appSocket) && !strings.Contains(name, "/.lttng/")
	})
	switch {
	case i >= 0:
		x.say(ok(Registered, "connected to the session daemon on %s", sockets[i]))
		return true
	case err != nil:
		x.say(unread(Registered, "to whom its QEMU is connected", err))
		return false
	}
	text, remedy := "QEMU is not connected to the session daemon",
		"shut it down and start it; if that does not help, let it tell: <qemu:env name='LTTNG_UST_DEBUG' value='1'/> writes to /var/log/libvirt/qemu/"+t.Name+".log"
	if dir, _ := x.variable(pid, "LTTNG_UST_APP_PATH"); dir != "" {
		text += "; its environment sends it to " + dir
		remedy = "take LTTNG_UST_APP_PATH from its environment (<qemu:env>, or libvirt's own), shut it down and start it"
	}
	const worldWritable = 0o002
	socket := lttngDir + "/" + appSocket + strconv.Itoa(x.session.files)
	if info, err := x.stat(socket); err == nil && info.Mode().Perm()&worldWritable == 0 {
		text += "; " + socket + " is for root and one group"
		remedy = "if it runs in another group, leave the socket to that one (/usr/lib/virtsentry/confine-lttng GROUP, and see systemctl cat lttng-sessiond); or " + remedy
	}
	if x.armour.enabled {
		remedy = "see confinement; or " + remedy
	}
	x.say(bad(Registered, Problem, remedy, "%s", text))
	return false
}

// understood compares QEMU's LTTng-UST with what the session daemon takes.
func (x *examination) understood(t target, pid int, lib library) bool {
	app, err := x.libraryABI(pid, lib)
	host := x.session.abi
	switch {
	case err != nil:
		x.say(unread(ABI, "which version its LTTng-UST is", err))
	case host.takes(app) && host.major == 0:
		x.say(bad(ABI, Unknown, asRoot, "QEMU speaks %s; the newest version that the session daemon takes is not known", app))
	case host.takes(app):
		x.say(ok(ABI, "QEMU speaks %s, which the session daemon takes", app))
	default:
		x.say(bad(ABI, Problem, fmt.Sprintf("have one release of LTTng for both: update the older one of liblttng-ust and lttng-tools, build QEMU for it if need be, start lttng-sessiond again, shut %s down and start it", quoted(t.Name)),
			"QEMU speaks %s and looks for %s%d; the session daemon takes %s", app, appSocket, app.files, host.span()))
		return false
	}
	return true
}

// connections are the addresses of the UNIX sockets to which a process is connected. With an error, they may not be all.
func (x *examination) connections(pid int) (names []string, err error) {
	open, err := x.descriptors(pid)
	for fd, what := range open {
		if !strings.HasPrefix(what, "socket:") {
			continue
		}
		name, nameErr := x.System.PeerName(pid, fd)
		if name != "" {
			names = append(names, name)
		}
		if nameErr != nil && err == nil {
			err = nameErr
		}
	}
	slices.Sort(names)
	return names, err
}

// descriptors tells what a process has open: proc_pid_fd(5).
func (x *examination) descriptors(pid int) (map[int]string, error) {
	dir := ofProcess(pid, "fd")
	entries, err := x.readDir(dir)
	if err != nil {
		return nil, err
	}
	open := map[int]string{}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		what, err := x.readlink(dir + "/" + e.Name())
		switch {
		case err == nil:
			open[fd] = what
		case !errors.Is(err, fs.ErrNotExist): // it was closed meanwhile
			return open, err
		}
	}
	return open, nil
}

// variable is one of those in a process's environment, as it was started; empty: not set.
func (x *examination) variable(pid int, name string) (string, error) {
	text, err := x.read(ofProcess(pid, "environ"), maxText)
	for _, v := range strings.Split(string(text), "\x00") {
		if value, is := strings.CutPrefix(v, name+"="); is {
			return value, nil
		}
	}
	return "", err
}
