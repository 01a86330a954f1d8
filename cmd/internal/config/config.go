// Package config reads the daemon's configuration: one TOML file in which every key is optional and an unknown one is refused.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/virtsentry/virtsentry/model"
)

// DefaultFile is where the daemon looks when it is not told.
const DefaultFile = "/etc/virtsentry/virtsentry.toml"

// DefaultSocket is the control socket that daemon and command agree on when neither is told.
const DefaultSocket = "/run/virtsentry/control.sock"

// The engines that Judging.Engine may name.
const (
	EngineLibSVM   = "libsvm"
	EngineLibSVMGo = "libsvm-go"
)

// Config is the whole configuration.
type Config struct {
	Libvirt  Libvirt  `toml:"libvirt"`
	LTTng    LTTng    `toml:"lttng"`
	Learning Learning `toml:"learning"`
	Judging  Judging  `toml:"judging"`
	Profiles Profiles `toml:"profiles"`
	Control  Control  `toml:"control"`
	Hooks    Hooks    `toml:"hooks"`
	Log      Log      `toml:"log"`
}

// Libvirt says which libvirt daemon is listened to.
type Libvirt struct {
	URI    string `toml:"uri"`     // connection URI
	RunDir string `toml:"run_dir"` // that daemon's run-time directory, in which qemu/NAME.pid is
}

// LTTng says where and how traces are kept for the two seconds that they live.
type LTTng struct {
	OutputDir      string `toml:"output_dir"`       // on tmpfs
	SubBufferBytes uint64 `toml:"sub_buffer_bytes"` // power of two; memory of a domain: possible CPUs × sub_buffers × this
	SubBuffers     uint64 `toml:"sub_buffers"`      // power of two
}

// Learning says what a first profile is made from.
type Learning struct {
	Units    int      `toml:"units"`    // normal units of two seconds
	Starting Duration `toml:"starting"` // after the start of a guest, not learnt and not judged: booting is no service
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
}

// Decider is the decision's part of it.
func (j Judging) Decider() model.DeciderConfig {
	return model.DeciderConfig{Window: j.Window, Alarm: j.Alarm, Quiet: j.QuietUnits}
}

// Profiles says where profiles are kept.
type Profiles struct {
	Dir string `toml:"dir"`
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
		Libvirt:  Libvirt{URI: "qemu:///system", RunDir: "/run/libvirt"},
		LTTng:    LTTng{OutputDir: "/run/virtsentry/traces", SubBufferBytes: 64 << 10, SubBuffers: 8},
		Learning: Learning{Units: 300, Starting: Duration(2 * time.Minute)},
		Judging:  Judging{Engine: EngineLibSVM},
		Profiles: Profiles{Dir: "/var/lib/virtsentry/profiles"},
		Control:  Control{Socket: DefaultSocket},
		Hooks:    Hooks{Dir: "/etc/virtsentry/hooks.d", Timeout: Duration(10 * time.Second), Pokes: "/run/virtsentry/pokes"},
		Log:      Log{Level: "info", Format: "text"},
	}
}

// Read reads a file over the defaults. With optional set a file that is not there means the defaults.
func Read(file string, optional bool) (Config, error) {
	c := Default()
	text, err := os.ReadFile(file)
	switch {
	case optional && errors.Is(err, fs.ErrNotExist):
		return c, nil
	case err != nil:
		return c, fmt.Errorf("read configuration: %w", err)
	}
	if err := c.parse(string(text)); err != nil {
		return c, fmt.Errorf("configuration %s: %w", file, err)
	}
	return c, nil
}

func (c *Config) parse(text string) error {
	meta, err := toml.Decode(text, c)
	if err != nil {
		return err // it names the line; the library's longer form panics on some input
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		keys := make([]string, len(unknown))
		for i, k := range unknown {
			keys[i] = k.String()
		}
		return fmt.Errorf("unknown key %s", strings.Join(keys, ", "))
	}
	return c.check()
}

func (c *Config) check() error {
	for key, path := range map[string]string{
		"libvirt.run_dir": c.Libvirt.RunDir, "lttng.output_dir": c.LTTng.OutputDir, "profiles.dir": c.Profiles.Dir, "control.socket": c.Control.Socket,
		"hooks.dir": c.Hooks.Dir, "hooks.pokes": c.Hooks.Pokes,
	} {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("%s: %q is not an absolute path", key, path)
		}
	}
	for key, n := range map[string]uint64{"lttng.sub_buffer_bytes": c.LTTng.SubBufferBytes, "lttng.sub_buffers": c.LTTng.SubBuffers} {
		if n < 2 || n&(n-1) != 0 {
			return fmt.Errorf("%s: %d is not a power of two", key, n)
		}
	}
	c.LTTng.OutputDir = filepath.Clean(c.LTTng.OutputDir) // it is compared with what LTTng reports
	j := c.Judging
	if err := j.Decider().Validate(); err != nil {
		return fmt.Errorf("judging: %w", err)
	}
	switch {
	case c.LTTng.SubBufferBytes < 4096 || c.LTTng.SubBufferBytes > 16<<20:
		return fmt.Errorf("lttng.sub_buffer_bytes: %d is not between 4096 and %d", c.LTTng.SubBufferBytes, 16<<20)
	case c.LTTng.SubBuffers > 64:
		return fmt.Errorf("lttng.sub_buffers: %d is more than 64", c.LTTng.SubBuffers)
	case c.Learning.Units < 30 || c.Learning.Units > 43200:
		return fmt.Errorf("learning.units: %d is not between 30 (a minute) and 43200 (a day)", c.Learning.Units)
	case c.Hooks.Timeout <= 0:
		return errors.New("hooks.timeout: is not positive")
	case c.Learning.Starting < 0:
		return errors.New("learning.starting: is negative")
	case !(j.Nu >= 0 && j.Nu < 1), !(j.Level >= 0 && j.Level < 1), !(j.Gamma >= 0 && j.Gamma < 1e9): // so that NaN is refused
		return errors.New("judging: nu and level lie between 0 and 1, gamma is positive")
	case j.Engine != EngineLibSVM && j.Engine != EngineLibSVMGo:
		return fmt.Errorf("judging.engine: %q is neither %s nor %s", j.Engine, EngineLibSVM, EngineLibSVMGo)
	case c.Log.Format != "text" && c.Log.Format != "json":
		return fmt.Errorf("log.format: %q is neither text nor json", c.Log.Format)
	}
	return nil
}
