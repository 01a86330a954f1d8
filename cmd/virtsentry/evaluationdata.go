package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/evaluation"
)

// readEvaluation reads what there is in a directory as evaluationCommand describes it.
func readEvaluation(dir string) (*evaluation.Data, error) {
	set, err := catalogue.Load(catalogue.DefaultSet)
	if err != nil {
		return nil, err
	}
	data := &evaluation.Data{Describe: set.Describe}
	swing, err := readUnitFiles(filepath.Join(dir, "swing"))
	if err != nil {
		return nil, err
	}
	data.Swing = swing[evaluation.SetDefault]
	if data.Plan, data.Sets, _, err = readPlan(filepath.Join(dir, "evaluation")); err != nil {
		return nil, err
	}
	if err := readSources(data, filepath.Join(dir, "sources")); err != nil {
		return nil, err
	}
	if data.Everyday, err = readEveryday(filepath.Join(dir, "everyday")); err != nil {
		return nil, err
	}
	guests, err := os.ReadDir(filepath.Join(dir, "variants"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, g := range guests {
		if !g.IsDir() {
			continue
		}
		sets, err := readUnitFiles(filepath.Join(dir, "variants", g.Name()))
		if err != nil {
			return nil, err
		}
		data.Guests = append(data.Guests, evaluation.Guest{Name: g.Name(), Sets: sets})
	}
	if len(data.Swing)+len(data.Plan)+len(data.Guests)+len(data.SourceLabs) == 0 && data.Everyday == nil {
		return nil, fmt.Errorf("%s holds no recordings: name a directory like testdata/units", dir)
	}
	return data, nil
}

// readUnitFiles reads NAME.csv and NAME.SET.csv, by set; none where there is no directory.
func readUnitFiles(dir string) (map[string]evaluation.Recordings, error) {
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	sets := map[string]evaluation.Recordings{}
	for _, file := range files {
		name, ok := strings.CutSuffix(strings.TrimSuffix(file.Name(), ".gz"), ".csv")
		if !ok {
			continue
		}
		name, set, ok := strings.Cut(name, ".")
		if !ok {
			set = evaluation.SetDefault
		}
		if sets[set] == nil {
			sets[set] = evaluation.Recordings{}
		}
		if sets[set][name], err = readNamed(filepath.Join(dir, file.Name()), name); err != nil {
			return nil, err
		}
	}
	return sets, nil
}

// readNamed reads a unit file under a name that does not depend on where it lies.
func readNamed(path, name string) (model.Recording, error) {
	r, err := readRecording(path, catalogue.DefaultSet)
	r.Name = name
	return r, err
}

// planManifest is what is needed of the manifest that virtsentry-lab evaluation writes.
type planManifest struct {
	Format     int `json:"format"`
	Recordings []struct {
		Name     string            `json:"name"`
		Kind     string            `json:"kind"`
		Scenario string            `json:"scenario"`
		Strength string            `json:"strength"`
		Rate     int               `json:"rate"`
		RateUnit string            `json:"rate_unit"`
		Seconds  float64           `json:"seconds"`
		Seed     uint64            `json:"seed"`
		Units    int               `json:"units"`
		Lossy    int               `json:"lossy_units"`
		Files    map[string]string `json:"files"`
		Sources  map[string]struct {
			Hits    uint64  `json:"hits"`
			TimeNS  uint64  `json:"time_ns"`
			Seconds float64 `json:"seconds"`
		} `json:"sources"`
	} `json:"recordings"`
}

// planFormat is the format that is known, of the manifest and of prices.
const planFormat = 1

// readPlan reads the recordings of a manifest, which may be not there; their units by set, and what sources cost in each, if they were recorded.
func readPlan(dir string) (plan []evaluation.Recorded, sets map[string]evaluation.Recordings, costs map[string]map[string]evaluation.SourceCost, err error) {
	path := filepath.Join(dir, "manifest.json")
	var m planManifest
	sets, costs = map[string]evaluation.Recordings{}, map[string]map[string]evaluation.SourceCost{}
	if found, err := readFormat(path, &m, &m.Format); !found {
		return nil, sets, costs, err
	}
	for _, r := range m.Recordings {
		plan = append(plan, evaluation.Recorded{
			Name: r.Name, Kind: r.Kind, Scenario: r.Scenario, Strength: r.Strength, Rate: r.Rate, RateUnit: r.RateUnit,
			Seconds: r.Seconds, Seed: r.Seed, Units: r.Units, Lossy: r.Lossy,
		})
		for set, file := range r.Files {
			if !filepath.IsLocal(file) {
				return nil, nil, nil, fmt.Errorf("%s: recording %s: file %q is outside of the manifest's directory", path, r.Name, file)
			}
			recording, err := readNamed(filepath.Join(dir, file), r.Name)
			if err != nil {
				return nil, nil, nil, err
			}
			if sets[set] == nil {
				sets[set] = evaluation.Recordings{}
			}
			sets[set][r.Name] = recording
		}
		costs[r.Name] = map[string]evaluation.SourceCost{}
		for source, c := range r.Sources {
			costs[r.Name][source] = evaluation.SourceCost{Hits: c.Hits, TimeNS: c.TimeNS, Seconds: c.Seconds}
		}
	}
	return plan, sets, costs, nil
}

// readFormat reads a JSON file of the format that is known, where there is one.
func readFormat(path string, into any, format *int) (found bool, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	if *format != planFormat {
		return false, fmt.Errorf("%s: format %d, want %d", path, *format, planFormat)
	}
	return true, nil
}

// readEveryday reads the long recording and its time line; nil where there is none.
func readEveryday(dir string) (*evaluation.Everyday, error) {
	files, err := readUnitFiles(dir)
	if err != nil {
		return nil, err
	}
	recording, ok := files[evaluation.SetDefault]["everyday"]
	if !ok {
		return nil, nil
	}
	path := filepath.Join(dir, "everyday.log")
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("time line of everyday: %w", err)
	}
	defer func() { _ = file.Close() }()
	jobs, err := readJobs(bufio.NewScanner(file))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &evaluation.Everyday{Recording: recording, Jobs: jobs}, nil
}

// readJobs reads lines "TIME NUMBER JOB begin" and "TIME NUMBER JOB end CODE". What has no end lasts to the last line. The script that starts
// all others is none.
func readJobs(lines *bufio.Scanner) ([]evaluation.Job, error) {
	var jobs []evaluation.Job
	open := map[string]int{}
	var last time.Time
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[1] == "#" {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, fields[0])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		last = at
		number, name := fields[1], fields[2]
		switch fields[3] {
		case "begin":
			if name != "script" {
				open[number] = len(jobs)
				jobs = append(jobs, evaluation.Job{Name: name, From: at})
			}
		case "end":
			if i, ok := open[number]; ok {
				jobs[i].To = at
			}
		}
	}
	for i := range jobs {
		if jobs[i].To.IsZero() {
			jobs[i].To = last
		}
	}
	slices.SortFunc(jobs, func(a, b evaluation.Job) int { return a.From.Compare(b.From) })
	return jobs, lines.Err()
}
