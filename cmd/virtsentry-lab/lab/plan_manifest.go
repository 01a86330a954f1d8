package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// ManifestFile is the name of the manifest in a plan's directory.
const ManifestFile = "manifest.json"

// manifestFormat is raised when a reader of the old form would go wrong.
const manifestFormat = 1

// The unit files of a recording, by their names in [Recorded.Files]. Each is
// package unit's CSV.
const (
	FileDefault  = "default"  // the feature set of that name
	FilePaper    = "paper"    // the feature set of that name: the paper's five trace points
	FileCounts   = "counts"   // a column for every trace point hit: all of devices
	FileSyscalls = "syscalls" // a column for every system call of QEMU, "syscall:read"; of sources: what they count
)

// Manifest says what is in a directory that [Lab.RunPlan] has filled. It is
// stored as DIR/manifest.json, written anew after each recording.
//
//	DIR/manifest.json             {"format": 1, "recordings": [...]}, in the order of recording
//	DIR/NAME/default.csv          unit files of the recording NAME, all of one and the same time:
//	DIR/NAME/paper.csv            see lttng/unit for their form (start_ns,duration_ns,lost,FEATURE,...)
//	DIR/NAME/counts.csv
//	DIR/NAME/syscalls.csv
//	DIR/NAME/trace/               the raw CTF trace, if it was asked for
//
// A recording of sources ([SourcesPlan]) has other files: default.csv, if QEMU has UST trace points, and
// one for each source of the host's kernel: tap.csv, functions.csv, syscalls.csv. Their columns are all that there are.
//
// All four have the same units, whole ones of two seconds. Columns of counts and
// syscalls are those that occur in the recording; one that another recording
// lacks is 0 there.
type Manifest struct {
	Format     int        `json:"format"` // 1
	Recordings []Recorded `json:"recordings"`
}

// Recorded is one recording that is complete.
type Recorded struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`     // train, normal, anomaly, peak or stress
	Scenario string `json:"scenario"` // normal, idle, stress_NAME or ATTACK_SIDE
	// Strength (weak or strong), Rate and RateUnit are of attacks.
	Strength string `json:"strength,omitempty"`
	Rate     int    `json:"rate,omitempty"`
	RateUnit string `json:"rate_unit,omitempty"`
	// Seconds is the span asked for.
	Seconds float64 `json:"seconds"`
	// Seed, Sessions and Shape are of the load; 0 and empty without one.
	Seed     uint64    `json:"seed"`
	Sessions int       `json:"sessions"`
	Shape    string    `json:"shape,omitempty"`
	Begin    time.Time `json:"begin"` // of the first unit
	Units    int       `json:"units"`
	// LossyUnits are those that may lack events, SyscallLossyUnits those that may
	// lack system calls.
	LossyUnits        int `json:"lossy_units"`
	SyscallLossyUnits int `json:"syscall_lossy_units"`
	// Files are the unit files, by default, paper, counts and syscalls, or by source, relative
	// to the manifest's directory.
	Files map[string]string `json:"files"`
	// Sources is what each source cost, in a recording of sources.
	Sources  map[string]SourceCost `json:"sources,omitempty"`
	Versions Versions              `json:"versions"`
}

// SourceCost is what a source cost the host in a recording. The kernel's run statistics measure the time within eBPF programs alone: the trap
// that leads to them comes on top, and is in what [Lab.MeasurePrices] finds.
type SourceCost struct {
	Hits       uint64  `json:"hits"`    // of its programs or, with UST, events recorded
	TimeNS     uint64  `json:"time_ns"` // that the programs took; 0 with UST: not known
	Seconds    float64 `json:"seconds"` // that it was observed
	LossyUnits int     `json:"lossy_units"`
}

// Versions are what a recording was made with.
type Versions struct {
	QEMU   string `json:"qemu"`
	LTTng  string `json:"lttng,omitempty"` // where it recorded
	Kernel string `json:"kernel"`
	// Syscalls is how system calls were counted: perf or, in a recording of sources, eBPF.
	Syscalls string `json:"syscalls"`
	// Sets are the feature sets and sources, by name: their number of columns and the first
	// digits of the SHA-256 of their columns' names, each with a line feed.
	Sets map[string]string `json:"sets"`
}

// ReadManifest reads the manifest in dir. The error is fs.ErrNotExist where there is none.
func ReadManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("parse %s: format %d, want %d", path, m.Format, manifestFormat)
	}
	seen := make(map[string]bool)
	for _, r := range m.Recordings {
		if !stepName.MatchString(r.Name) || seen[r.Name] {
			return nil, fmt.Errorf("parse %s: recording %q: no name, or there twice", path, r.Name)
		}
		seen[r.Name] = true
		for _, file := range r.Files {
			if !filepath.IsLocal(file) {
				return nil, fmt.Errorf("parse %s: recording %s: file %q is outside of the manifest's directory", path, r.Name, file)
			}
		}
	}
	return &m, nil
}

// openManifest reads the manifest in dir, or begins one in a directory that is
// empty but for prices, or not there.
func openManifest(dir string) (*Manifest, error) {
	m, err := ReadManifest(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("begin manifest: %w", err)
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == PriceFile })
	if len(entries) > 0 {
		return nil, fmt.Errorf("begin manifest: %s has no %s and is not empty: name a new directory", dir, ManifestFile)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("begin manifest: %w", err)
	}
	m = &Manifest{Format: manifestFormat, Recordings: []Recorded{}}
	return m, m.write(dir)
}

func (m *Manifest) write(dir string) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	if err := writeFile(filepath.Join(dir, ManifestFile), append(raw, '\n'), 0o644); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

// put takes a recording in, in place of one of the same name.
func (m *Manifest) put(r Recorded) {
	m.drop(r.Name)
	m.Recordings = append(m.Recordings, r)
}

func (m *Manifest) drop(name string) {
	m.Recordings = slices.DeleteFunc(m.Recordings, func(r Recorded) bool { return r.Name == name })
}

// complete tells whether dir has a step's recording with these unit files, made in the same way.
func (m *Manifest) complete(dir string, s Step, files []string) bool {
	i := slices.IndexFunc(m.Recordings, func(r Recorded) bool { return r.Name == s.Name })
	if i < 0 {
		return false
	}
	r, want := m.Recordings[i], s.recorded()
	if r.Kind != want.Kind || r.Scenario != want.Scenario || r.Rate != want.Rate || r.Seconds != want.Seconds ||
		r.Seed != want.Seed || r.Sessions != want.Sessions || r.Shape != want.Shape {
		return false
	}
	for _, name := range files {
		if r.Files[name] == "" || !isFile(filepath.Join(dir, r.Files[name])) {
			return false
		}
	}
	return true
}

// recorded is what is known of a step's recording before it is made.
func (s Step) recorded() Recorded {
	return Recorded{
		Name: s.Name, Kind: s.Kind, Scenario: s.Scenario, Strength: s.Strength, Rate: s.Rate, RateUnit: s.RateUnit,
		Seconds: s.For.Seconds(), Seed: s.Load.Seed, Sessions: s.Load.Sessions, Shape: s.Load.Shape,
	}
}
