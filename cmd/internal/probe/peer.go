package probe

import (
	"errors"
	"fmt"
	"net"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Peer is the process at the other end of a connection, as the kernel knew it when it connected.
type Peer struct {
	PID, UID, GID int
	Groups        []int // its supplementary groups
}

// Allowed says who may use the helper, beside root.
type Allowed struct {
	Users, Groups []int // by their numbers
}

// ParseAllowed finds users and groups by their names. A name is that of a user, or of a group where there is no such user; with a colon before it, of
// a group in any case.
func ParseAllowed(names []string) (a Allowed, err error) {
	for _, name := range names {
		u, g := "", ""
		group, only := strings.CutPrefix(name, ":")
		if !only {
			if found, lookErr := user.Lookup(name); lookErr == nil {
				u = found.Uid
			}
		}
		if u == "" {
			if found, lookErr := user.LookupGroup(group); lookErr == nil {
				g = found.Gid
			}
		}
		switch uid, gid := number(u), number(g); {
		case uid >= 0:
			a.Users = append(a.Users, uid)
		case gid >= 0:
			a.Groups = append(a.Groups, gid)
		default:
			return Allowed{}, fmt.Errorf("probe: there is no user or group %q", name)
		}
	}
	return a, nil
}

// SocketGroup is the group that the socket should have, so that who is allowed can reach it: the first group, or else that of the first user; -1 if
// nobody is allowed beside root. Who is in neither needs another way, such as the socket of a service manager.
func (a Allowed) SocketGroup() int {
	if len(a.Groups) > 0 {
		return a.Groups[0]
	}
	if len(a.Users) > 0 {
		if u, err := user.LookupId(strconv.Itoa(a.Users[0])); err == nil {
			return number(u.Gid)
		}
	}
	return -1
}

func number(id string) int {
	n, err := strconv.Atoi(id)
	if err != nil {
		return -1
	}
	return n
}

// Admit says who is at the other end of a UNIX connection, and whether that process is allowed.
func (a Allowed) Admit(conn net.Conn) (Peer, error) {
	p, err := peerOf(conn)
	if err == nil && !a.admits(p) {
		err = fmt.Errorf("user %d is not allowed (--allow)", p.UID)
	}
	return p, err
}

// admits says whether a process may use the helper.
func (a Allowed) admits(p Peer) bool {
	return p.UID == 0 || slices.Contains(a.Users, p.UID) || slices.Contains(a.Groups, p.GID) ||
		slices.ContainsFunc(p.Groups, func(g int) bool { return slices.Contains(a.Groups, g) })
}

// peerOf asks the kernel who is at the other end: unix(7), SO_PEERCRED, and SO_PEERGROUPS of Linux 4.13.
func peerOf(conn net.Conn) (p Peer, err error) {
	u, is := conn.(*net.UnixConn)
	if !is {
		return p, errors.New("not a UNIX connection")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return p, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			p = Peer{PID: int(cred.Pid), UID: int(cred.Uid), GID: int(cred.Gid)}
			p.Groups, err = peerGroups(fd)
		}
	})
	if err = errors.Join(controlErr, err); err != nil {
		return Peer{}, fmt.Errorf("ask who has connected: %w", err)
	}
	return p, nil
}

func peerGroups(fd uintptr) ([]int, error) {
	const most = 1 << 16 // NGROUPS_MAX of Linux
	for have := 64; have <= most; have = 2 * have {
		list := make([]uint32, have)
		size := uint32(4 * have) // socklen_t; it is set to what there is
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&list[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch errno {
		case 0:
			groups := make([]int, size/4)
			for i := range groups {
				groups[i] = int(list[i])
			}
			return groups, nil
		case unix.ERANGE:
		case unix.ENOPROTOOPT: // an older kernel
			return nil, nil
		default:
			return nil, errno
		}
	}
	return nil, unix.ERANGE
}
