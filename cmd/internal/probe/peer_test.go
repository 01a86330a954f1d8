package probe

import (
	"context"
	"errors"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func isRoot() bool { return os.Geteuid() == 0 }

func TestAdmits(t *testing.T) {
	allowed := Allowed{Users: []int{7}, Groups: []int{30, 31}}
	for name, test := range map[string]struct {
		peer Peer
		want bool
	}{
		"root":                  {Peer{UID: 0, GID: 0}, true},
		"user":                  {Peer{UID: 7, GID: 7}, true},
		"group":                 {Peer{UID: 8, GID: 31}, true},
		"supplementary group":   {Peer{UID: 8, GID: 8, Groups: []int{1, 30}}, true},
		"nobody":                {Peer{UID: 65534, GID: 65534}, false},
		"group of root":         {Peer{UID: 8, GID: 0, Groups: []int{0}}, false},
		"a user's number as of": {Peer{UID: 30, GID: 7, Groups: []int{7}}, false},
	} {
		if got := allowed.admits(test.peer); got != test.want {
			t.Errorf("%s: %v; want %v", name, got, test.want)
		}
	}
}

func TestParseAllowed(t *testing.T) {
	daemon, err := user.Lookup("daemon")
	if err != nil {
		t.Skip("there is no user daemon:", err)
	}
	adm, err := user.LookupGroup("adm")
	if err != nil {
		t.Skip("there is no group adm:", err)
	}
	got, err := ParseAllowed([]string{"daemon", ":adm", "adm"})
	want := Allowed{Users: []int{number(daemon.Uid)}, Groups: []int{number(adm.Gid), number(adm.Gid)}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("ParseAllowed: %v (-want +got):\n%s", err, diff)
	}
	if g := got.SocketGroup(); g != number(adm.Gid) {
		t.Errorf("SocketGroup = %d", g)
	}
	if g := (Allowed{Users: got.Users}).SocketGroup(); g != number(daemon.Gid) {
		t.Errorf("SocketGroup of a user = %d", g)
	}
	if g := (Allowed{}).SocketGroup(); g != -1 {
		t.Errorf("SocketGroup of nobody = %d", g)
	}
	for _, name := range []string{"no-such-user", ":no-such-group", "", ":", "0", ":daemon:adm"} {
		if _, err := ParseAllowed([]string{name}); err == nil {
			t.Errorf("ParseAllowed(%q): no error", name)
		}
	}
}

// as runs f with the user and groups of another, on a thread of its own that ends with it.
func as(uid, gid int, groups []uint32, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		list := append(slices.Clone(groups), 0)
		for _, call := range [][4]uintptr{
			{unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&list[0]))},
			{unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
			{unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
		} {
			if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
				done <- errno
				return
			}
		}
		runtime.KeepAlive(list)
		done <- f()
	}()
	return <-done
}

// TestPeers connects as other users.
func TestPeers(t *testing.T) {
	if !isRoot() {
		t.Skip("only root can become somebody else")
	}
	path := filepath.Join(t.TempDir(), "probe.sock")
	for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const user, group, other = 4321, 4322, 4323
	l, err := Listen(path, group)
	if err != nil {
		t.Fatal(err)
	}
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil || s.Mode&0o777 != 0o660 || s.Gid != group || s.Uid != 0 {
		t.Errorf("socket: mode %o of %d, %d, %v", s.Mode, s.Uid, s.Gid, err)
	}
	server := &Server{Domains: someDomains(), Attach: newCounters().Attach, Log: silent(), Allowed: Allowed{Users: []int{user}, Groups: []int{group}}}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	ping := func() error {
		c, err := Dial(t.Context(), path)
		if err != nil {
			return err
		}
		return errors.Join(c.Ping(t.Context()), c.Close())
	}
	ask := func(what string, uid, gid int, groups []uint32, want bool) {
		t.Helper()
		switch err := as(uid, gid, groups, ping); {
		case want && err != nil:
			t.Errorf("%s: %v", what, err)
		case !want && !errors.Is(err, ErrRefused):
			t.Errorf("%s: %v; want it to be refused", what, err)
		}
	}
	ask("root", 0, 0, nil, true)
	ask("the group", other, group, nil, true)
	ask("of many groups", other, other, append(slices.Repeat([]uint32{5}, 200), group), true)
	ask("a user whom the socket's mode keeps out", other, other, nil, false)
	if err := os.Chmod(path, 0o666); err != nil { // what is left is the server's own look
		t.Fatal(err)
	}
	ask("the user", user, other, nil, true)
	ask("another user", other, other, []uint32{5, 6}, false)
	ask("another user of root's group", other, 0, []uint32{0}, false)
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new", "probe.sock")
	l, err := Listen(path, -1)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	if l, err = Listen(path, -1); err != nil {
		t.Fatalf("where a dead helper left its socket: %v", err)
	}
	_ = l.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, link, dir} {
		if _, err := Listen(name, -1); err == nil || !strings.Contains(err.Error(), "not replaced") {
			t.Errorf("Listen(%s): %v", name, err)
		}
	}
	if fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0); err == nil {
		datagrams := filepath.Join(dir, "datagrams")
		if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: datagrams}); err != nil {
			t.Fatal(err)
		}
		if _, err := Listen(datagrams, -1); err == nil {
			t.Error("Listen replaced a socket that is in use")
		}
		_ = syscall.Close(fd)
	}
}
