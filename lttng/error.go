package lttng

import (
	"errors"
	"fmt"
)

// Errors that a caller can tell apart with errors.Is. They are the causes inside an [OpError].
var (
	// ErrNoSessionDaemon says that no session daemon answers: lttng-sessiond is not running, or was restarted.
	ErrNoSessionDaemon = errors.New("no LTTng session daemon answers (start lttng-sessiond as root)")
	// ErrPermission says that the caller may not talk to the session daemon.
	ErrPermission = errors.New("the LTTng session daemon refuses this user (root, or a member of the group tracing, may use it)")
	// ErrNoSession says that the session does not exist (any more).
	ErrNoSession = errors.New("no such recording session")
	// ErrSessionExists says that a session of that name is there already.
	ErrSessionExists = errors.New("a recording session of that name exists")
)

// OpError is the failure of one operation on a session.
type OpError struct {
	Op      string // what was tried, such as "rotate"
	Session string // the session's name, or empty
	Err     error  // the cause
}

func (e *OpError) Error() string {
	if e.Session == "" {
		return fmt.Sprintf("lttng: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("lttng: %s session %s: %v", e.Op, e.Session, e.Err)
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }
