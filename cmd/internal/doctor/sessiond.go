package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Where LTTng's session daemon of root has its sockets and wait files: lttng-sessiond(8), Files.
const (
	lttngDir     = "/var/run/lttng"
	shmDir       = "/dev/shm"
	appSocket    = "lttng-ust-sock-"
	waitFile     = "lttng-ust-wait-"
	clientSocket = lttngDir + "/client-lttng-sessiond"
)

// session is what is known of the session daemon.
type session struct {
	answers bool
	files   int // in the name of its socket; 0: not known
	abi     abi
}

const startSessiond = "start it as root, before virtsentryd: systemctl start lttng-sessiond, or lttng-sessiond --daemonize"

// sessionDaemon looks for the session daemon of root: the sockets' names tell its version, and one that nobody listens on is left from one that
// was killed.
func (x *examination) sessionDaemon() {
	entries, err := x.readDir(lttngDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		x.say(unread(SessionDaemon, lttngDir, err))
		return
	}
	var dead error
	for _, n := range slices.Backward(numbers(entries, appSocket)) { // newest first
		path := lttngDir + "/" + appSocket + strconv.Itoa(n)
		peer, err := x.System.Dial(x.path(path))
		if err != nil {
			dead = fmt.Errorf("%s: %w", path, err)
			continue
		}
		x.session = session{answers: true, files: n}
		if peer.UID != 0 {
			x.say(bad(SessionDaemon, Problem, "end process "+strconv.Itoa(peer.PID)+", and "+startSessiond, "process %d of user %d, not of root, listens on %s", peer.PID, peer.UID, path))
		} else {
			x.say(ok(SessionDaemon, "lttng-sessiond, process %d of root, takes connections on %s", peer.PID, path))
		}
		x.hostABI(peer.PID, n)
		x.sessionAccess()
		return
	}
	switch {
	case errors.Is(dead, fs.ErrPermission):
		x.say(unread(SessionDaemon, lttngDir, dead))
	case dead != nil:
		x.say(bad(SessionDaemon, Problem, startSessiond, "nobody takes connections on the socket that is there: %v", dead))
	default:
		x.say(bad(SessionDaemon, Problem, startSessiond, "no lttng-sessiond of root: no socket %s/%s*", lttngDir, appSocket))
	}
}

// numbers are those after a prefix in the names of a directory's entries, in ascending order.
func numbers(entries []fs.DirEntry, prefix string) (list []int) {
	for _, e := range entries {
		rest, has := strings.CutPrefix(e.Name(), prefix)
		if n, err := strconv.Atoi(rest); has && err == nil && n > 0 {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

func (x *examination) hostABI(pid, files int) {
	x.session.abi = abi{files: files}
	needed, err := x.needed(ofProcess(pid, "exe"))
	if err == nil {
		x.session.abi = daemonABI(files, needed)
	}
	if x.session.abi.major == 0 {
		why := "the libraries of the session daemon"
		if err == nil {
			err = errors.New("no liblttng-ust-ctl of a known version among them")
		}
		x.say(unread(HostABI, why, err))
		return
	}
	x.say(ok(HostABI, "the session daemon takes %s", x.session.abi.span()))
}

func (x *examination) sessionAccess() {
	switch err := x.System.Writable(x.path(clientSocket)); {
	case errors.Is(err, fs.ErrPermission):
		x.say(bad(SessionAccess, Warning, "virtsentryd must run as root or in group tracing: usermod -aG tracing USER, and log in again; if it does, all is well",
			"this user may not give lttng-sessiond orders: %s is for root and group tracing", clientSocket))
	case err != nil:
		x.say(withRemedy(unread(SessionAccess, clientSocket, err), startSessiond))
	default:
		x.say(ok(SessionAccess, "this user may give lttng-sessiond orders"))
	}
}

// waitFile looks at the memory by which a session daemon wakes applications that were started before it. LTTng-UST opens it first of all, and where it
// may not, it never connects (lttng-ust-comm.c, setup_global_apps). It makes one that is not there.
func (x *examination) waitFile() {
	if x.session.files == 0 {
		return
	}
	path := shmDir + "/" + waitFile + strconv.Itoa(x.session.files)
	again := "rm " + path + ", and start lttng-sessiond again as root"
	info, err := x.stat(path)
	if err != nil {
		x.say(withRemedy(unread(WaitFile, path, err), "start lttng-sessiond again: it makes the file; a QEMU started without it is not woken"))
		return
	}
	owner := -1
	if sys, is := info.Sys().(*syscall.Stat_t); is {
		owner = int(sys.Uid)
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		x.say(bad(WaitFile, Problem, again, "%s is no ordinary file", path))
	case mode.Perm()&0o004 == 0:
		x.say(bad(WaitFile, Problem, again, "%s may not be read by all (mode %04o): the user as whom QEMU runs cannot register", path, mode.Perm()))
	case owner != 0:
		x.say(bad(WaitFile, Warning, again, "%s belongs to user %d: the session daemon did not take it over, and may not wake a QEMU that was started before it", path, owner))
	default:
		x.say(ok(WaitFile, "%s, mode %04o", path, mode.Perm()))
	}
}
