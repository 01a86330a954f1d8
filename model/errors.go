package model

import (
	"errors"
	"fmt"
)

// Errors of a training set, of an engine's solution and of a unit to judge.
var (
	// ErrDataset means that a training set is malformed: wrong shape, a value
	// that is no count, or units out of order.
	ErrDataset = errors.New("bad training set")
	// ErrProblem means that an engine was given what is no problem: too few
	// rows or too many, rows of different lengths, a value that is not
	// finite or too large, a parameter out of its range.
	ErrProblem = errors.New("not a one-class problem")
	// ErrUncertified means that an engine's solution failed our own check and
	// was refused.
	ErrUncertified = errors.New("solution not certified")
	// ErrUnsolved means that none of several engines found a solution that passed.
	ErrUnsolved = errors.New("no engine solved it")
	// ErrUnit means that a unit cannot be judged: its length is not the
	// profile's, or a value is no count.
	ErrUnit = errors.New("bad unit")
)

// Errors of a profile file, found in a *[ProfileError] by [errors.Is].
var (
	// ErrFormat means that the file is no profile at all, or is cut short.
	ErrFormat = errors.New("not a profile file")
	// ErrVersion means that the file was written in another format version.
	ErrVersion = errors.New("unsupported profile version")
	// ErrChecksum means that the content is not what was written.
	ErrChecksum = errors.New("profile checksum does not match")
	// ErrTooLarge means that the file exceeds [MaxFileBytes].
	ErrTooLarge = errors.New("profile file too large")
	// ErrInvalid means that the content contradicts itself: lengths that
	// disagree, numbers out of range, a certificate that no longer holds.
	ErrInvalid = errors.New("invalid profile")
	// ErrUUID means that a string is no UUID in its usual form.
	ErrUUID = errors.New("not a UUID")
	// ErrOtherDomain means that the file holds the profile of another domain.
	ErrOtherDomain = errors.New("profile belongs to another domain")
)

// TooFewError says that a training set has too few units.
type TooFewError struct {
	Have, Need int // units
}

// Error implements error.
func (e *TooFewError) Error() string {
	return fmt.Sprintf("too few units to train on: have %d, need %d", e.Have, e.Need)
}

// TooManyFeaturesError says that a training set has too many features. It is an
// [ErrDataset].
type TooManyFeaturesError struct {
	Have, Most int
}

// Error implements error.
func (e *TooManyFeaturesError) Error() string {
	return fmt.Sprintf("too many features to train on: have %d, at most %d", e.Have, e.Most)
}

// ProfileError is an error about one profile file.
type ProfileError struct {
	Op   string // what was tried: "load", "save", ...
	Path string // the file
	Err  error  // the cause; one of this package's Err values or an fs error
}

// Error implements error; it names the file and, where there is one, the remedy.
func (e *ProfileError) Error() string {
	s := fmt.Sprintf("%s profile %s: %v", e.Op, e.Path, e.Err)
	if r := e.Remedy(); r != "" {
		s += " (" + r + ")"
	}
	return s
}

// Unwrap returns the cause.
func (e *ProfileError) Unwrap() error { return e.Err }

// Remedy says what an operator can do about it, "" where the cause says it all.
func (e *ProfileError) Remedy() string {
	switch {
	case errors.Is(e.Err, ErrVersion):
		return "learn the domain again, or use the release that wrote the file"
	case errors.Is(e.Err, ErrOtherDomain):
		return "put the domain's own profile in its place, or learn the domain again"
	case errors.Is(e.Err, ErrFormat), errors.Is(e.Err, ErrChecksum),
		errors.Is(e.Err, ErrTooLarge), errors.Is(e.Err, ErrInvalid):
		return "remove the file to learn the domain again, or roll back to the previous profile"
	}
	return ""
}
