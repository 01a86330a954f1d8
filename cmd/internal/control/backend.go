package control

import (
	"context"
	"errors"
	"io"
)

// Errors of a Backend, which the client gets back as the same values.
var (
	ErrNoDomain  = errors.New("no running domain of that name, UUID or id")
	ErrNoProfile = errors.New("no profile")
	ErrRefused   = errors.New("refused")
	// ErrNoIncident says that none of that id is kept.
	ErrNoIncident = errors.New("no incident")
)

// Backend is what the server shows and steers. A ref names a domain as virsh does: by id, UUID or name.
type Backend interface {
	// Domains lists the running domains, by name.
	Domains() []DomainStatus
	// Domain finds one. Errors: ErrNoDomain.
	Domain(ref string) (DomainStatus, error)
	// Learn throws a domain's profile away and learns a new one from so many units (0: as configured). Errors: ErrNoDomain, ErrRefused.
	Learn(ref string, units int) error
	// Subscribe delivers every unit from now on, until ctx ends, and then closes the channel. A slow reader loses units.
	Subscribe(ctx context.Context) <-chan UnitReport
	// Record writes the trace of a domain from now on to w, as a tar archive with a CTF trace in each chunk's directory, until ctx ends; the
	// archive is complete then. Errors: ErrNoDomain; ErrRefused when w is too slow or the domain goes away (what was written is whole up to there).
	Record(ctx context.Context, ref string, w io.Writer) error
	Profiles
	Incidents
	Timelines
	Actions
}

// Profiles is the part of a Backend that keeps profiles. Its refs also name domains that do not run, by UUID or by the name in the profile.
type Profiles interface {
	// ListProfiles lists all kept profiles, by name.
	ListProfiles() ([]ProfileInfo, error)
	// Profile describes one. Errors: ErrNoProfile.
	Profile(ref string) (ProfileInfo, error)
	// ExportProfile returns the profile's file. Errors: ErrNoProfile.
	ExportProfile(ref string) ([]byte, error)
	// ImportProfile puts a profile file in force for a domain, whichever domain it was learnt from. Errors: ErrRefused with what is wrong with the file.
	ImportProfile(ref string, file []byte) (ProfileInfo, error)
	// CloneProfile puts a copy of one domain's profile in force for another one. Errors: ErrNoProfile, ErrRefused.
	CloneProfile(from, to string) (ProfileInfo, error)
	// RollbackProfile puts the profile before the present one back in force. Errors: ErrNoProfile.
	RollbackProfile(ref string) (ProfileInfo, error)
	// DeleteProfile forgets a domain's profile and the one before it; a running domain learns anew. Errors: ErrNoProfile.
	DeleteProfile(ref string) error
	// Relearn trains a domain's profile again, with the units of that time marked as normal beside those that it was learnt from (the paper's 5.2).
	// The new profile is put in force unless it would find too much less of an attack, or it is only to be shown; the old one is kept for a
	// rollback. Errors: ErrNoDomain, ErrNoProfile, ErrRefused.
	Relearn(ref string, request RelearnRequest) (Relearnt, error)
}
