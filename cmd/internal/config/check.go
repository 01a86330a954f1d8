package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/model"
)

// maxBufferBytes bounds what buffers may be given: more than hosts have is a mistake.
const maxBufferBytes = 1 << 40

// keyAlarms is the key of the false alarms that are accepted, which has another name in a policy element.
const keyAlarms = "judging.alarms_per_day"

// keySources is the key of what domains are observed by, which is called sources in [[domain]].
const keySources = "sources.use"

// checkSources says what is wrong with a choice of sources.
func checkSources(list []string) error {
	if slices.Equal(list, []string{Auto}) {
		return nil
	}
	for i, s := range list {
		if s != UST && !probe.Source(s).Known() {
			return fmt.Errorf("%.32q is none of auto (alone), ust, tap, functions, syscalls, kvm", s)
		}
		if slices.Contains(list[:i], s) {
			return fmt.Errorf("%s is there twice", s)
		}
	}
	if len(list) == 0 {
		return errors.New("there is none; auto lets the daemon choose")
	}
	return nil
}

// problem says what is wrong with the values of keys, each with its table's name.
type problem struct {
	keys []string
	text string
}

// Error names the keys.
func (p *problem) Error() string { return strings.Join(p.keys, ", ") + ": " + p.text }

// as is the problem with the keys under the names that they have elsewhere.
func (p *problem) as(rename func(key string) string) *problem {
	renamed := &problem{text: p.text}
	for _, key := range p.keys {
		renamed.keys = append(renamed.keys, rename(key))
	}
	return renamed
}

func wrong(key, format string, args ...any) *problem {
	return &problem{keys: []string{key}, text: fmt.Sprintf(format, args...)}
}

// check is the first thing that is wrong with the tables, nil for none. [[domain]] is not looked at.
func (c Config) check() *problem {
	for _, path := range []struct{ key, value string }{
		{"libvirt.run_dir", c.Libvirt.RunDir},
		{"lttng.output_dir", c.LTTng.OutputDir},
		{"profiles.dir", c.Profiles.Dir},
		{"history.file", c.History.File},
		{"control.socket", c.Control.Socket},
		{"sources.socket", c.Sources.Socket},
		{"actions.keeper_socket", c.Actions.KeeperSocket},
		{"hooks.dir", c.Hooks.Dir},
		{"hooks.pokes", c.Hooks.Pokes},
	} {
		if !filepath.IsAbs(path.value) {
			return wrong(path.key, "%q is not an absolute path", path.value)
		}
	}
	if file := c.Migration.KeyFile; file != "" && !filepath.IsAbs(file) {
		return wrong("migration.key_file", "%q is not an absolute path", file)
	}
	if p := c.LTTng.check(); p != nil {
		return p
	}
	if p := c.Metrics.check(); p != nil {
		return p
	}
	if p := c.Dashboard.check(); p != nil {
		return p
	}
	if p := (Domain{Learning: c.Learning, Judging: c.Judging, Sources: c.Sources.Use, OverheadPercent: c.Actions.OverheadPercent}).check(); p != nil {
		return p
	}
	if p := c.History.check(); p != nil {
		return p
	}
	if p := c.Actions.check(); p != nil {
		return p
	}
	switch {
	case c.Hooks.Timeout <= 0:
		return wrong("hooks.timeout", "%v is not positive", time.Duration(c.Hooks.Timeout))
	case c.Judging.Engine != EngineLibSVM && c.Judging.Engine != EngineLibSVMGo:
		return wrong("judging.engine", "%q is neither %s nor %s", c.Judging.Engine, EngineLibSVM, EngineLibSVMGo)
	case c.Log.Level != "error" && c.Log.Level != "warning" && c.Log.Level != "info" && c.Log.Level != "debug":
		return wrong("log.level", "%q is none of error, warning, info, debug", c.Log.Level)
	case c.Log.Format != "text" && c.Log.Format != "json":
		return wrong("log.format", "%q is neither text nor json", c.Log.Format)
	}
	return nil
}

// check looks at numbers as signed ones: the library lets a negative one pass for a large one.
func (l LTTng) check() *problem {
	if _, err := catalogue.Load(l.Features); err != nil {
		return wrong("lttng.features", "%v", err)
	}
	for _, n := range []struct {
		key       string
		value     uint64
		low, high int64
	}{
		{"lttng.sub_buffer_bytes", l.SubBufferBytes, 4096, 16 << 20},
		{"lttng.sub_buffers", l.SubBuffers, 2, 64},
		{"lttng.domain_buffer_bytes", l.DomainBufferBytes, 1, maxBufferBytes},
		{"lttng.total_buffer_bytes", l.TotalBufferBytes, 1, maxBufferBytes},
		{"lttng.domain_events_per_second", l.DomainEvents, 0, 1e9},
	} {
		if v := int64(n.value); v < n.low || v > n.high {
			return wrong(n.key, "%d is not between %d and %d", v, n.low, n.high)
		}
	}
	switch {
	case l.SubBufferBytes&(l.SubBufferBytes-1) != 0:
		return wrong("lttng.sub_buffer_bytes", "%d is not a power of two", l.SubBufferBytes)
	case l.SubBuffers&(l.SubBuffers-1) != 0:
		return wrong("lttng.sub_buffers", "%d is not a power of two", l.SubBuffers)
	case l.DomainBufferBytes > l.TotalBufferBytes:
		return &problem{
			keys: []string{"lttng.domain_buffer_bytes", "lttng.total_buffer_bytes"},
			text: fmt.Sprintf("a domain may have %d bytes, all domains together only %d", l.DomainBufferBytes, l.TotalBufferBytes),
		}
	}
	return nil
}

func (h History) check() *problem {
	for _, n := range []struct {
		key              string
		value, low, high int
	}{
		{"history.days", h.Days, 1, 36500},
		{"history.incidents", h.Incidents, 1, 1_000_000},
		{"history.units", h.Units, 0, 3600},
		{"history.unit_days", h.UnitDays, 1, 36500},
	} {
		if n.value < n.low || n.value > n.high {
			return wrong(n.key, "%d is not between %d and %d", n.value, n.low, n.high)
		}
	}
	return nil
}

// check is the first thing that is wrong with a domain's settings, nil for none.
func (d Domain) check() *problem {
	l, j := d.Learning, d.Judging
	// Conditions are written so that NaN is refused.
	switch {
	case l.Units < 30 || l.Units > mostUnits:
		return wrong("learning.units", "%d is not between 30 (a minute) and %d (a day)", l.Units, mostUnits)
	case l.MaxUnits < 0 || l.MaxUnits > mostUnits:
		return wrong("learning.max_units", "%d is not between 0 (three times units) and %d (a day)", l.MaxUnits, mostUnits)
	case l.Starting < 0 || l.Starting > Duration(24*time.Hour):
		return wrong("learning.starting", "%v is not between 0 and a day", time.Duration(l.Starting))
	case !(j.Nu >= 0 && j.Nu < 1):
		return wrong("judging.nu", "%v is not between 0 and 1", j.Nu)
	case !(j.Gamma >= 0 && j.Gamma <= 1e9):
		return wrong("judging.gamma", "%v is not between 0 and 1e9", j.Gamma)
	case !(j.Level >= 0 && j.Level < 1):
		return wrong("judging.level", "%v is not between 0 and 1", j.Level)
	case j.QuietUnits < 0 || j.QuietUnits > mostUnits:
		return wrong("judging.quiet_units", "%d is not between 0 and %d (a day)", j.QuietUnits, mostUnits)
	case !(d.OverheadPercent >= 0 && d.OverheadPercent <= 100):
		return wrong(keyOverhead, "%v is not between 0 (no limit) and 100", d.OverheadPercent)
	}
	if err := checkSources(d.Sources); err != nil {
		return &problem{keys: []string{keySources}, text: err.Error()}
	}
	if err := (model.DeciderConfig{AlarmsPerDay: j.AlarmsPerDay}).Validate(); err != nil {
		return &problem{keys: []string{keyAlarms}, text: strings.TrimPrefix(err.Error(), "decider: ")}
	}
	if err := j.Decider().Validate(); err != nil {
		return &problem{keys: []string{"judging.window", "judging.alarm"}, text: strings.TrimPrefix(err.Error(), "decider: ")}
	}
	return nil
}
