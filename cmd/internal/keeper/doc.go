// Package keeper looks at a guest's system calls by introspection, in a process of its own: virtsentry-keeper. It opens the gdb stub of the domain's QEMU, has package
// guestcalls count, and takes everything away again: at the end of the time, when its client's connection ends, when the domain migrates, is saved or paused, when it is
// itself told to end, and, by a second process that does nothing but wait for that (the guard), when it is killed.
//
// A client names a domain by its UUID, a time and limits, and nothing else.
package keeper

import (
	"errors"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/guestcalls"
)

// DefaultSocket is where virtsentry-keeper listens.
const DefaultSocket = "/run/virtsentry/keeper.sock"

// DefaultRunDir is where it notes which stubs are open, so that whatever comes after it can close them.
const DefaultRunDir = "/run/virtsentry-keeper"

// Request asks for a domain's system calls for a time, the only request on a connection. The end of the connection ends it.
type Request struct {
	UUID    string  `json:"uuid"`
	Seconds float64 `json:"seconds"`
	// Share and Stops limit what the guest is held up: the share of the time in which it is stopped, and stops a second. 0: as the keeper's configuration says, and
	// never more than that.
	Share float64 `json:"share,omitempty"`
	Stops float64 `json:"stops,omitempty"`
	// Offset is what the caller's clock of units is ahead of CLOCK_MONOTONIC, nanoseconds. Units begin at its whole multiples of two seconds.
	Offset int64 `json:"offset,omitempty"`
	// Dry asks only whether it could be done: nothing is opened, and the guest is not stopped. The answer is an End, by ReasonDry where it could.
	Dry bool `json:"dry,omitempty"`
}

// Begin says that the guest is looked at.
type Begin struct {
	Entry uint64  `json:"entry"` // the address of its kernel's system-call entry
	Share float64 `json:"share"` // the limits in force
	Stops float64 `json:"stops"`
}

// End says that it is over: the stub is closed, and the guest runs, unless somebody else has paused it.
type End struct {
	Reason string `json:"reason"`          // for people, and one of the Reasons where there is no error
	Error  string `json:"error,omitempty"` // what went wrong; empty: nothing
}

// Reasons of an end.
const (
	ReasonTime   = "the time is over"
	ReasonClient = "the client has gone"
	ReasonSlow   = "the client does not take what it is sent"
	ReasonDry    = "it could be done"
	ReasonStop   = "the keeper ends"
	ReasonLeaves = "the domain migrates, or is saved or dumped"
	ReasonPaused = "somebody else has paused the guest"
	ReasonGone   = "the guest's QEMU has gone"
)

// message is what the keeper sends: one of them.
type message struct {
	Begin *Begin           `json:"begin,omitempty"`
	Unit  *guestcalls.Unit `json:"unit,omitempty"`
	End   *End             `json:"end,omitempty"`
}

// Errors that a client can tell apart.
var (
	// ErrNoKeeper says that nobody listens on the keeper's socket.
	ErrNoKeeper = errors.New("virtsentry-keeper does not run (systemctl enable --now virtsentry-keeper.socket)")
	// ErrRefused says that the keeper does not do what it was asked for, or could not.
	ErrRefused = errors.New("refused by virtsentry-keeper")
)

// Times.
const (
	askTime    = 10 * time.Second       // from a client's connection to its request
	sendTime   = 2 * time.Second        // for a client to take a message
	startTime  = 20 * time.Second       // from the request to Begin
	watchTime  = 200 * time.Millisecond // between looks at whether the domain is about to leave
	guardTime  = 5 * time.Second        // for the guard to be ready, and to end
	repairTime = time.Minute            // for which a guard tries, where libvirt does not answer
	retryTime  = 200 * time.Millisecond
)
