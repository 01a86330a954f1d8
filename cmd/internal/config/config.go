// Package config reads the daemon's configuration: a TOML file and its drop-ins, in which every key is optional and an unknown one is refused,
// and works out what holds for one domain.
package config

import (
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/model"
)

// DefaultFile is where the daemon looks when it is not told.
const DefaultFile = "/etc/virtsentry/virtsentry.toml"

// DefaultSocket is the control socket that daemon and command agree on when neither is told.
const DefaultSocket = "/run/virtsentry/control.sock"

// DefaultKeeperSocket is where virtsentry-keeper listens.
const DefaultKeeperSocket = "/run/virtsentry/keeper.sock"

// The engines that Judging.Engine may name.
const (
	EngineLibSVM   = "libsvm"
	EngineLibSVMGo = "libsvm-go"
)

// Config is the whole configuration.
type Config struct {
	Libvirt   Libvirt   `toml:"libvirt"`
	LTTng     LTTng     `toml:"lttng"`
	Sources   Sources   `toml:"sources"`
	Learning  Learning  `toml:"learning"`
	Judging   Judging   `toml:"judging"`
	Profiles  Profiles  `toml:"profiles"`
	Migration Migration `toml:"migration"`
	History   History   `toml:"history"`
	Control   Control   `toml:"control"`
	Hooks     Hooks     `toml:"hooks"`
	Actions   Actions   `toml:"actions"`
	Metrics   Metrics   `toml:"metrics"`
	Dashboard Dashboard `toml:"dashboard"`
	Log       Log       `toml:"log"`
	Domains   []Match   `toml:"domain"` // in the order in which they were read
	Files     []string  `toml:"-"`      // that were read, in that order; none: the defaults
}

// Libvirt says which libvirt daemon is listened to.
type Libvirt struct {
	URI    string `toml:"uri"`     // connection URI
	RunDir string `toml:"run_dir"` // that daemon's run-time directory, in which qemu/NAME.pid is
}

// LTTng says where and how traces are kept for the two seconds that they live.
type LTTng struct {
	Features       string `toml:"features"`         // what is counted: the name of a feature set, or the path of a set's file
	OutputDir      string `toml:"output_dir"`       // on tmpfs
	SubBufferBytes uint64 `toml:"sub_buffer_bytes"` // power of two; memory of a domain: possible CPUs × sub_buffers × this
	SubBuffers     uint64 `toml:"sub_buffers"`      // power of two
	// What ring buffers may take of the host's memory, in bytes. Sub-buffers are made smaller to fit.
	DomainBufferBytes uint64 `toml:"domain_buffer_bytes"` // those of a domain
	TotalBufferBytes  uint64 `toml:"total_buffer_bytes"`  // those of all domains together
	// DomainEvents is how many events a second a domain may have recorded; past that, those that are hit most are recorded for a part of each unit only. 0: any number.
	DomainEvents uint64 `toml:"domain_events_per_second"`
}

// What Sources.Use may name besides what virtsentry-probe has.
const (
	Auto = "auto" // the daemon chooses
	UST  = "ust"  // QEMU's own trace points
)

// Sources says what domains are observed by.
type Sources struct {
	// Use is what domains are observed by: ust (QEMU's own trace points), and what the kernel sees: tap (packets), functions (of QEMU), syscalls
	// (of QEMU), kvm. Or auto: ust where QEMU has it, with tap where vhost-net moves packets past QEMU; and otherwise tap and functions.
	Use     []string `toml:"use"`
	Socket  string   `toml:"socket"`  // of virtsentry-probe
	Headers bool     `toml:"headers"` // tap looks at TCP headers, too, and counts ports and peers; no payload is read in any case
}

// Learning says what a first profile is made from.
type Learning struct {
	Units    int      `toml:"units"`     // normal units of two seconds, at least
	MaxUnits int      `toml:"max_units"` // so many at most, where those are not enough; 0: three times as many; fewer than Units: Units
	Starting Duration `toml:"starting"`  // after the start of a guest, not learnt and not judged: booting is no service
}

// mostUnits are those of a day.
const mostUnits = 43200

// Most is how many units are gathered at most.
func (l Learning) Most() int {
	if l.MaxUnits == 0 {
		return min(3*l.Units, mostUnits)
	}
	return max(l.Units, l.MaxUnits)
}

// Judging holds the parameters of the one-class SVM and of the decision over a sequence of units. Zero: the model's own default.
type Judging struct {
	Engine     string  `toml:"engine"` // that solves the SVM: libsvm or libsvm-go; the other one is taken where its solution fails the certificate
	Nu         float64 `toml:"nu"`
	Gamma      float64 `toml:"gamma"`
	Level      float64 `toml:"level"`       // tail probability at or below which a unit counts as anomalous
	Window     int     `toml:"window"`      // units that are looked at together
	Alarm      int     `toml:"alarm"`       // so many anomalous ones of them make the domain anomalous
	QuietUnits int     `toml:"quiet_units"` // so many normal ones in a row make it normal again
	// AlarmsPerDay is how many false alarms a day are accepted of one domain.
	AlarmsPerDay float64 `toml:"alarms_per_day"`
}

// Decider is the decision's part of it.
func (j Judging) Decider() model.DeciderConfig {
	return model.DeciderConfig{Window: j.Window, Alarm: j.Alarm, Quiet: j.QuietUnits, AlarmsPerDay: j.AlarmsPerDay}
}

// Profiles says where profiles are kept.
type Profiles struct {
	Dir string `toml:"dir"`
}

// Migration says what is believed of a domain that comes from another host.
type Migration struct {
	KeyFile string `toml:"key_file"` // with keys that the hosts share, ReadKeys; "": none
}

// History says where incidents are kept, and how many. What is open is kept in any case.
type History struct {
	File      string `toml:"file"`      // an SQLite database, for this daemon alone
	Days      int    `toml:"days"`      // for so long after an incident was closed
	Incidents int    `toml:"incidents"` // so many closed ones at most; then the oldest go, first of the domain that has most
	Units     int    `toml:"units"`     // so many units with each at most, a fifth of them from before it; 0: none
	UnitDays  int    `toml:"unit_days"` // for so long after it was closed
}

// Control says where the daemon listens for the virtsentry command.
type Control struct {
	Socket string `toml:"socket"`
}

// Hooks says which programs are run on a change of state, and where libvirt's own hook is heard.
type Hooks struct {
	Dir     string   `toml:"dir"`     // the operators' hooks; one that is not there means none
	Timeout Duration `toml:"timeout"` // of one hook
	Pokes   string   `toml:"pokes"`   // FIFO that libvirt's hook writes to
}

// Log says what is logged to standard error.
type Log struct {
	Level  string `toml:"level"`  // error, warning, info, debug
	Format string `toml:"format"` // text, json
}

// Duration is a time.Duration written as "90s" or "2m".
type Duration time.Duration

// UnmarshalText reads a duration, encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// Default is the configuration of a host with one system libvirt daemon.
func Default() Config {
	return Config{
		Libvirt: Libvirt{URI: "qemu:///system", RunDir: "/run/libvirt"},
		LTTng: LTTng{
			Features:  "default",
			OutputDir: "/run/virtsentry/traces", SubBufferBytes: 64 << 10, SubBuffers: 8, DomainBufferBytes: 32 << 20, TotalBufferBytes: 1 << 30, DomainEvents: 100_000,
		},
		Sources:   Sources{Use: []string{Auto}, Socket: probe.DefaultSocket},
		Learning:  Learning{Units: 300, Starting: Duration(2 * time.Minute)},
		Judging:   Judging{Engine: EngineLibSVM},
		Profiles:  Profiles{Dir: "/var/lib/virtsentry/profiles"},
		History:   History{File: "/var/lib/virtsentry/history.db", Days: 365, Incidents: 5000, Units: 150, UnitDays: 30},
		Control:   Control{Socket: DefaultSocket},
		Dashboard: Dashboard{Hosts: []string{}},
		Hooks:     Hooks{Dir: "/etc/virtsentry/hooks.d", Timeout: Duration(10 * time.Second), Pokes: "/run/virtsentry/pokes"},
		Actions:   Actions{Duration: Duration(30 * time.Second), MaxDuration: Duration(10 * time.Minute), KeeperSocket: DefaultKeeperSocket},
		Log:       Log{Level: "info", Format: "text"},
	}
}
