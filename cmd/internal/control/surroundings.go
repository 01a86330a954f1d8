package control

import (
	"time"

	"github.com/virtsentry/virtsentry/libvirt/about"
)

// Surroundings is what stands around a domain, or stood around it at the time of an incident: whose it is, what it reaches, and what else happened then.
// As JSON it is what is kept with an incident. Its texts are those of others (about.About).
type Surroundings struct {
	// Looked is when libvirt was last asked whose the domain is and what it reaches; zero: it has not answered yet.
	Looked time.Time `json:"looked,omitzero"`
	about.About
	// Error says what of it libvirt did not tell; empty: it told all that it knows.
	Error string `json:"error,omitempty"`
	// Events are what libvirt told of the domain near that time, the oldest first.
	Events []Happening `json:"events,omitempty"`
	// Others are the other domains of the host that were anomalous then, or are now.
	Others []Neighbour `json:"others,omitempty"`
}

// Happening is something that libvirt told of a domain.
type Happening struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"` // started, stopped, devices changed, block job, ...
	Detail string    `json:"detail,omitempty"`
}

// Neighbour is another domain of the host.
type Neighbour struct {
	UUID    string       `json:"uuid"`
	Name    string       `json:"name"`
	Project *about.Party `json:"project,omitempty"` // its owner's
	Anomaly Anomaly      `json:"anomaly"`
}
