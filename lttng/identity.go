package lttng

import (
	"errors"
	"fmt"
	"strings"

	"github.com/virtsentry/virtsentry/lttng/ctf"
)

// ErrIdentity says that what is recorded of a process ID is not, or no longer, from the process that the session is for. It is the cause inside an
// [IdentityError].
var ErrIdentity = errors.New("another process is registered with LTTng by this process ID")

// IdentityError is what [Verifier.Verify] found.
type IdentityError struct {
	Session       string
	PID           int            // whose the session is
	Registrations []Registration // all by that process ID in the session so far, the verified one included
	Others        []Process      // that write their traces and are not PID; empty: they cannot be told any more, or not yet, or are PID itself
}

func (e *IdentityError) Error() string {
	who := fmt.Sprintf("one that cannot be told: it has ended, or has only just come, or is process %d itself once more", e.PID)
	if len(e.Others) > 0 {
		names := make([]string, len(e.Others))
		for i, p := range e.Others {
			names[i] = p.String()
		}
		who = strings.Join(names, ", ")
	}
	return fmt.Sprintf("lttng: session %s: registered with LTTng by process ID %d: %s (end it, and restart lttng-sessiond, so that process %d registers again)",
		e.Session, e.PID, who, e.PID)
}

// Unwrap returns ErrIdentity.
func (e *IdentityError) Unwrap() error { return ErrIdentity }

// Verifier finds out whether all that a session records is of the process that it is for. One goroutine uses it.
//
// LTTng knows a process by its process ID. Since LTTng-UST 2.12.2 the session daemon asks the kernel for it (SO_PEERCRED, unix(7)), in its own PID
// namespace, so what a process says of itself does not count, and one in a container is not taken for another. Before, it believed any number that
// a process reported, be it that of its own PID namespace. What the kernel says is who made the connection. So these can register by another's
// process ID even now: one that was given a connection by that process; and one whose connection is from an earlier process with that
// number, which has ended. The latter can do so before the process registers, but not after: connections are served one after the other.
//
// Whoever registers last is the one (session daemon 2.13):
//
//   - Is the first one recorded already, both go on being recorded, in a trace each, but the first one's is not rotated any more: no rotation
//     of the session ends, and so no chunk comes, as long as the first process lives; the other one's end changes nothing.
//   - Have both registered before the session is made, only the last one is recorded, as if it were the process.
//   - When the last one ends, nothing is recorded any more: the first one stays out, though it stays connected ([Registered]).
//
// A restart of the session daemon mends it: all that live register anew, each for itself. An impostor that still has a connection of the
// process's own can make no use of it then.
//
// What remains: the process itself, taken over from within, can write any event, and nothing here tells; where two register within one second
// and by one name, their traces share a directory, and one of them may be missing in Registrations, though the rotation that does not end
// shows it; who keeps connections without a word holds up all registrations for five seconds each, so that a process may be recorded late, or,
// where it gave up waiting, begins unrecorded.
type Verifier struct {
	session  string
	output   string
	pid      int
	verified Registration
}

// Verifier returns a verifier that has seen nothing of the session yet.
func (s *Session) Verifier() *Verifier {
	return &Verifier{session: s.cfg.Name, output: s.cfg.Output, pid: s.cfg.PID}
}

// Verify says that there is but one registration in all that is in the session's output directory, and that the very process writes its trace. Its
// UUID is zero as long as nothing is recorded, or nothing can be said of it yet, or the process ended before.
//
// The output directory holds the chunk that is being recorded, and the archived ones that have not been removed. So Verify is for the time
// after a rotation and before its chunk is removed, and for when a rotation fails: after a second registration a rotation does not end as long as
// the first process lives. Once the process has been found to write the trace, Verify only compares UUIDs.
//
// Errors: an *IdentityError, which stays as long as the traces do; or the process may not be looked at.
func (v *Verifier) Verify() (Registration, error) {
	all, err := Registrations(v.output)
	switch {
	case err != nil:
		return Registration{}, err
	case len(all) == 0:
		return v.verified, nil
	case len(all) > 1 || v.verified.Dir != "" && !same(all[0], v.verified):
		return Registration{}, v.mistaken(all)
	case v.verified.Dir != "" || all[0].UUID == (ctf.UUID{}):
		return v.verified, nil
	}
	switch own, err := Recorded(v.pid, all[0].UUID); {
	case errors.Is(err, errEnded):
		return Registration{}, nil
	case err != nil:
		return Registration{}, err
	case !own:
		return Registration{}, v.mistaken(all)
	}
	v.verified = all[0]
	return v.verified, nil
}

// same says whether what is seen is a registration that was verified before.
func same(seen, verified Registration) bool {
	return seen.Dir == verified.Dir && (seen.UUID == verified.UUID || seen.UUID == (ctf.UUID{}))
}

// mistaken says who they are that were registered by the session's process ID.
func (v *Verifier) mistaken(all []Registration) error {
	e := &IdentityError{Session: v.session, PID: v.pid, Registrations: all}
	seen := map[int]bool{v.pid: true}
	for _, r := range all {
		if r.UUID == (ctf.UUID{}) {
			continue
		}
		processes, err := Recorders(r.UUID)
		if err != nil {
			continue // what is known already is worse
		}
		for _, p := range processes {
			if !seen[p.PID] {
				seen[p.PID] = true
				e.Others = append(e.Others, p)
			}
		}
	}
	return e
}
