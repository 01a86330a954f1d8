package config

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Domain is what holds for one domain.
type Domain struct {
	Watch    bool
	Learning Learning
	Judging  Judging
	Sources  []string // as Sources.Use
	// OverheadPercent is as in Actions.
	OverheadPercent float64
}

// Override changes some of what holds for a domain: nil leaves a value as it is. Units are those of Learning and Judging.
type Override struct {
	Watch      *bool     `toml:"watch"`
	Units      *int      `toml:"units"`
	MaxUnits   *int      `toml:"max_units"`
	Starting   *Duration `toml:"starting"`
	Nu         *float64  `toml:"nu"`
	Gamma      *float64  `toml:"gamma"`
	Level      *float64  `toml:"level"`
	Window     *int      `toml:"window"`
	Alarm      *int      `toml:"alarm"`
	QuietUnits *int      `toml:"quiet_units"`
	// AlarmsPerDay is the false alarms a day that are accepted.
	AlarmsPerDay *float64 `toml:"alarms_per_day"`
	Sources      []string `toml:"sources"` // none: as it is
	// OverheadPercent is what closer looks at the domain may cost, in percent of its speed.
	OverheadPercent *float64 `toml:"overhead_percent"`
}

// Match is one [[domain]] of the configuration: which domains it is for, and what it changes. Either Name or UUID is set.
type Match struct {
	Name string `toml:"name"` // a name, or a pattern of path.Match
	UUID string `toml:"uuid"`
	Override
	Source string `toml:"-"` // file and line
}

var uuidForm = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// check is what is wrong with the choice of domains, nil for nothing.
func (m Match) check() *problem {
	switch {
	case (m.Name == "") == (m.UUID == ""):
		return &problem{keys: []string{"name", "uuid"}, text: "a [[domain]] needs one of the two"}
	case m.UUID != "" && !uuidForm.MatchString(m.UUID):
		return wrong("uuid", "%q is not a UUID", m.UUID)
	}
	if _, err := path.Match(m.Name, ""); err != nil {
		return wrong("name", "%q is not a pattern: a bracket without its end, or a backslash at the end", m.Name)
	}
	return nil
}

func (m Match) matches(name, uuid string) bool {
	if m.UUID != "" {
		return strings.EqualFold(m.UUID, uuid)
	}
	ok, err := path.Match(m.Name, name)
	return err == nil && ok
}

// For is what holds for a domain: the file's tables, changed by every [[domain]] that matches, in the order in which they were read, and
// then by the domain's policy element. One of these that would make the settings invalid is passed over as a whole, and the error,
// which names it, says so: the settings are valid with or without an error.
func (c Config) For(name, uuid string, policy Override) (Domain, error) {
	d := Domain{Watch: true, Learning: c.Learning, Judging: c.Judging, Sources: c.Sources.Use, OverheadPercent: c.Actions.OverheadPercent}
	var errs []error
	for _, m := range c.Domains {
		if !m.matches(name, uuid) {
			continue
		}
		changed := d.with(m.Override)
		if p := changed.check(); p != nil {
			errs = append(errs, fmt.Errorf("configuration %s: [[domain]] is passed over for domain %s: %w", m.Source, uuid, p.as(matchKey)))
			continue
		}
		d = changed
	}
	changed := d.with(policy)
	if p := changed.check(); p != nil {
		errs = append(errs, fmt.Errorf("policy element of domain %s is passed over: %w", uuid, p.as(policyKey)))
		return d, errors.Join(errs...)
	}
	return changed, errors.Join(errs...)
}

func (d Domain) with(o Override) Domain {
	change(&d.Watch, o.Watch)
	change(&d.Learning.Units, o.Units)
	change(&d.Learning.MaxUnits, o.MaxUnits)
	change(&d.Learning.Starting, o.Starting)
	change(&d.Judging.Nu, o.Nu)
	change(&d.Judging.Gamma, o.Gamma)
	change(&d.Judging.Level, o.Level)
	change(&d.Judging.Window, o.Window)
	change(&d.Judging.Alarm, o.Alarm)
	change(&d.Judging.QuietUnits, o.QuietUnits)
	change(&d.Judging.AlarmsPerDay, o.AlarmsPerDay)
	change(&d.OverheadPercent, o.OverheadPercent)
	if len(o.Sources) > 0 {
		d.Sources = o.Sources
	}
	return d
}

func change[T any](value, to *T) {
	if to != nil {
		*value = *to
	}
}

// matchKey is the name in [[domain]] of a key such as learning.units.
func matchKey(key string) string {
	if key == keySources {
		return "sources"
	}
	return key[strings.IndexByte(key, '.')+1:]
}

// policyKey is the name in a policy element of a key such as judging.quiet_units.
func policyKey(key string) string {
	switch key {
	case keyAlarms:
		return "false-alarms-per-day"
	case keyOverhead:
		return "overhead-percent"
	}
	return strings.NewReplacer(".", " ", "_", "-").Replace(key)
}
