package keeper

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/virtsentry/virtsentry/cmd/internal/guestcalls"
)

// DefaultConfig is the keeper's configuration file.
const DefaultConfig = "/etc/virtsentry/keeper.toml"

// Config is what the operator allows.
type Config struct {
	GuestSyscalls bool          `toml:"guest_syscalls"` // without it, nothing is done at all
	URI           string        `toml:"uri"`            // of libvirt
	Longest       time.Duration `toml:"longest"`        // that a request may ask for
	Share         float64       `toml:"share"`          // of the time in which a guest may be stopped
	Stops         float64       `toml:"stops"`          // a second
	Domains       int           `toml:"domains"`        // at once
}

// defaults hold where the file says nothing.
func defaults() Config {
	return Config{
		URI: "qemu:///system", Longest: 10 * time.Minute, Domains: 4,
		Share: guestcalls.DefaultLimits.Share, Stops: guestcalls.DefaultLimits.Stops,
	}
}

// maxConfig bounds the file, bytes.
const maxConfig = 64 << 10

// ReadConfig reads the configuration. A file that is not there allows nothing. Errors name the file.
func ReadConfig(path string) (Config, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return defaults(), nil
	}
	if err != nil {
		return Config{}, fmt.Errorf("keeper: read configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(text) > maxConfig {
		err = fmt.Errorf("longer than %d bytes", maxConfig)
	}
	if err != nil {
		return Config{}, fmt.Errorf("keeper: read configuration %s: %w", path, err)
	}
	c, err := parseConfig(string(text))
	if err != nil {
		return Config{}, fmt.Errorf("keeper: configuration %s: %w", path, err)
	}
	return c, nil
}

func parseConfig(text string) (Config, error) {
	c := defaults()
	meta, err := toml.Decode(text, &c)
	if err != nil {
		return Config{}, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return Config{}, fmt.Errorf("there is no key %s", unknown[0])
	}
	return c, c.check()
}

func (c Config) check() error {
	const mostStops, mostTime, mostDomains = 10000, 24 * time.Hour, 64
	switch {
	case strings.TrimSpace(c.URI) == "":
		return errors.New("uri: is empty; want the address of a libvirt daemon, such as qemu:///system")
	case c.Longest < time.Second || c.Longest > mostTime:
		return fmt.Errorf("longest: %v; want 1s to %v", c.Longest, mostTime)
	case !(c.Share > 0 && c.Share <= 1):
		return fmt.Errorf("share: %g; want a number above 0 and up to 1", c.Share)
	case !(c.Stops > 0 && c.Stops <= mostStops):
		return fmt.Errorf("stops: %g; want a number above 0 and up to %d", c.Stops, mostStops)
	case c.Domains < 1 || c.Domains > mostDomains:
		return fmt.Errorf("domains: %d; want 1 to %d", c.Domains, mostDomains)
	}
	return nil
}

// admit checks a request, and puts the limits in force into it.
func (c Config) admit(r *Request) error {
	const mostOffset = 1 << 62 // nanoseconds: a clock of 146 years
	switch {
	case !c.GuestSyscalls:
		return errors.New("the operator has not allowed it on this host: guest_syscalls = true in " + DefaultConfig + " does")
	case !uuidForm.MatchString(r.UUID):
		return fmt.Errorf("%.60q is no UUID of a domain", r.UUID)
	case !(r.Seconds > 0 && r.Seconds <= c.Longest.Seconds()):
		return fmt.Errorf("a time of %g s: want more than 0 and up to %g (longest in %s)", r.Seconds, c.Longest.Seconds(), DefaultConfig)
	case !(r.Share >= 0 && r.Share <= 1) || !(r.Stops >= 0):
		return fmt.Errorf("limits of %g of the time and %g stops a second: want none below 0, and no share above 1", r.Share, r.Stops)
	case r.Offset > mostOffset || r.Offset < -mostOffset:
		return fmt.Errorf("an offset of %d ns is out of range", r.Offset)
	}
	r.Share, r.Stops = least(r.Share, c.Share), least(r.Stops, c.Stops)
	return nil
}

// least is the smaller limit; 0 is none.
func least(asked, allowed float64) float64 {
	if asked == 0 {
		return allowed
	}
	return min(asked, allowed)
}
