package price

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/virtsentry/virtsentry/model/cost"
)

// DefaultFile is where a host's calibration is kept.
const DefaultFile = "/var/lib/virtsentry/cost.json"

// ErrNoCalibration says that this host was never calibrated.
var ErrNoCalibration = errors.New("what events cost on this host is not known, and no figures come with the programme: " +
	"`virtsentry cost calibrate` observes a guest of its own on this host, for an hour")

// Load reads a calibration. Errors: ErrNoCalibration where there is no such file, and cost.ErrFormat.
func Load(file string) (*cost.Calibration, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", file, ErrNoCalibration)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := cost.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}
