package model

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Failure is why an engine's answer was not used.
type Failure struct {
	Engine string `json:"engine"`
	Reason string `json:"reason"`
}

// Fallback is an [Engine] that asks First and, where that fails or its solution
// does not pass [Certify], Second. The solution says who found it and what
// First failed with.
type Fallback struct {
	First, Second Engine
}

// Name implements Engine.
func (f Fallback) Name() string {
	return f.First.Name() + ", else " + f.Second.Name()
}

// OneClass implements Engine. The error wraps [ErrProblem] for what is no problem, or
// [ErrUnsolved] and both engines' errors.
func (f Fallback) OneClass(x [][]float64, nu, gamma float64) (Solution, error) {
	s, _, err := f.solve(x, nu, gamma)
	return s, err
}

// solve is OneClass, with the certificate.
func (f Fallback) solve(x [][]float64, nu, gamma float64) (Solution, Certificate, error) {
	s, cert, first := solve(f.First, x, nu, gamma)
	if first == nil || errors.Is(first, ErrProblem) {
		return s, cert, first
	}
	s, cert, second := solve(f.Second, x, nu, gamma)
	if second != nil {
		return Solution{}, Certificate{}, fmt.Errorf("%w: %s: %w; %s: %w", ErrUnsolved, f.First.Name(), first, f.Second.Name(), second)
	}
	s.Failed = &Failure{Engine: f.First.Name(), Reason: printable(first.Error())}
	return s, cert, nil
}

// solve has the engine solve a problem, rounds the solution, in which it puts the engine's name, and certifies it.
func solve(engine Engine, x [][]float64, nu, gamma float64) (Solution, Certificate, error) {
	if f, ok := engine.(Fallback); ok {
		return f.solve(x, nu, gamma) // which is certified already
	}
	s, err := engine.OneClass(x, nu, gamma)
	if err != nil {
		return Solution{}, Certificate{}, err
	}
	s.round()
	cert, err := Certify(x, nu, gamma, s)
	if err != nil {
		return Solution{}, Certificate{}, err
	}
	if s.Engine == "" {
		s.Engine = engine.Name()
	}
	return s, cert, nil
}

// maxText is the most bytes of a text in a profile that an operator gets to see.
const maxText = 1024

// printable makes s a text that checkText accepts.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// checkText says whether s, from outside, can be shown on a terminal.
func checkText(what, s string) error {
	if printable(s) != s {
		return fmt.Errorf("%s is too long or not printable: %.64q", what, s)
	}
	return nil
}
