package monitor

import (
	"slices"
	"strings"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
)

// ust names QEMU's own trace points among the sources.
const ust = config.UST

// features are what is counted of one domain: QEMU's own trace points, and what the kernel sees, in this order.
type features struct {
	set     *catalogue.Set // nil: no trace points
	sources []probe.Source
	headers bool // of packets, too

	names []string
	words map[string]probe.Column // of what the kernel sees
}

func newFeatures(set *catalogue.Set, sources []probe.Source, headers bool) *features {
	f := &features{set: set, sources: sources, headers: headers, words: map[string]probe.Column{}}
	if set != nil {
		f.names = set.Names()
	}
	for _, s := range sources {
		for _, c := range f.columns(s) {
			f.names = append(f.names, c.Name)
			f.words[c.Name] = c
		}
	}
	return f
}

// columns are those of one of the sources that are used: those of packets' headers only where the operator allows them.
func (f *features) columns(s probe.Source) []probe.Column {
	all := s.Columns()
	if s == probe.Tap && !f.headers { // they stand behind the sizes
		if i := slices.IndexFunc(all, func(c probe.Column) bool { return !strings.Contains(c.Name, ":len") }); i >= 0 {
			return all[:i]
		}
	}
	return all
}

// Names are the columns of a unit.
func (f *features) Names() []string { return f.names }

// Version says what is counted: units of different versions do not compare.
func (f *features) Version() string {
	var parts []string
	if f.set != nil {
		parts = append(parts, f.set.Version())
	}
	for _, s := range f.sources {
		part := string(s) + "/" + probe.Version
		if s == probe.Tap && f.headers {
			part += "+headers"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

// Source names the sources in a profile's fingerprint, such as "ust+tap".
func (f *features) Source() string {
	var parts []string
	if f.set != nil {
		parts = append(parts, ust)
	}
	for _, s := range f.sources {
		parts = append(parts, string(s))
	}
	return strings.Join(parts, "+")
}

// Describe says what a feature is, judging.Describer.
func (f *features) Describe(name string) (subsystem, words string) {
	if c, ok := f.words[name]; ok {
		return c.Subsystem, c.Words
	}
	if f.set != nil {
		return f.set.Describe(name)
	}
	return "other", name + " hits"
}
