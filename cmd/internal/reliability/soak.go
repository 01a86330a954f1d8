package reliability

import (
	"fmt"
	"path/filepath"
	"time"
)

// SoakName is the name of the file of the soak test's results.
const SoakName = "soak"

// Soak is what was seen of virtsentryd over a long time, in which guests came and went, had work and were attacked, and faults were caused.
type Soak struct {
	Format  int            `json:"format"`
	Begin   time.Time      `json:"begin"`
	Minutes float64        `json:"minutes"`
	Seed    uint64         `json:"seed"`    // of the order of what was done
	Done    map[string]int `json:"done"`    // how often what was done
	Figures []Figure       `json:"figures"` // of virtsentryd
	Kept    bool           `json:"kept"`    // all promises were
}

// Figure is one that was sampled.
type Figure struct {
	Name    string  `json:"name"`
	Unit    string  `json:"unit"`
	Samples int     `json:"samples"`
	First   float64 `json:"first"` // mean of the first tenth
	Last    float64 `json:"last"`  // mean of the last tenth
	Slope   Slope   `json:"slope"`
	Bound   float64 `json:"bound"` // that the slope must be below, where its interval lies above 0
}

// Flat says whether it does not grow.
func (f Figure) Flat() bool { return f.Slope.Flat(f.Bound) }

// NewFigure fits what was sampled. Errors: those of FitSlope.
func NewFigure(name, unit string, bound float64, samples []Sample) (Figure, error) {
	slope, err := FitSlope(samples)
	if err != nil {
		return Figure{}, fmt.Errorf("%s: %w", name, err)
	}
	tenth := max(1, len(samples)/10)
	return Figure{Name: name, Unit: unit, Samples: len(samples), First: mean(samples[:tenth]), Last: mean(samples[len(samples)-tenth:]), Slope: slope, Bound: bound}, nil
}

func mean(samples []Sample) (m float64) {
	for _, s := range samples {
		m += s.Value / float64(len(samples))
	}
	return m
}

// WriteSoak keeps the soak test's results in DIR/soak.json; an earlier file is replaced.
func WriteSoak(dir string, s Soak) error {
	s.Format, s.Begin = format, s.Begin.UTC().Truncate(time.Second)
	return write(dir, SoakName, s)
}

// ReadSoak reads what WriteSoak wrote; ok is false where nothing was kept.
func ReadSoak(dir string) (s Soak, ok bool, err error) {
	ok, err = read(dir, SoakName, &s)
	if err == nil && ok && s.Format != format {
		err = fmt.Errorf("%s: format %d, want %d: make soak writes it anew", filepath.Join(dir, SoakName+".json"), s.Format, format)
	}
	return s, ok, err
}
