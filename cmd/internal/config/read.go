package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFile bounds one file, in bytes.
const maxFile = 256 << 10

// Read reads a file over the defaults, and then its drop-ins in the order of their names: for DIR/NAME.toml, the files DIR/NAME.d/*.toml.
// Of a key, the last value holds; every [[domain]] is kept. With optional set, a file that is not there sets nothing. Errors name the file and the line.
func Read(file string, optional bool) (Config, error) {
	l := newLoader()
	files, err := dropIns(file)
	if err != nil {
		return Default(), fmt.Errorf("read configuration: %w", err)
	}
	for i, file := range slices.Concat([]string{file}, files) {
		text, err := readFile(file)
		if optional && i == 0 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Default(), fmt.Errorf("read configuration: %w", err)
		}
		if err := l.add(file, text); err != nil {
			return Default(), err
		}
	}
	if err := l.check(); err != nil {
		return Default(), err
	}
	return l.config, nil
}

// dropIns lists the drop-ins of a file. A directory that is not there has none.
func dropIns(file string) ([]string, error) {
	dir := strings.TrimSuffix(file, ".toml") + ".d"
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || filepath.Ext(e.Name()) != ".toml" {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", path)
		}
		files = append(files, path)
	}
	return files, nil
}

func readFile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxFile {
		return "", fmt.Errorf("%s is larger than %d bytes", file, maxFile)
	}
	return string(text), nil
}

// loader puts a configuration together from files, and remembers which line each key was last set by.
type loader struct {
	config  Config
	origins map[string]origin // by key; that of a [[domain]] has its index: domain.0.units
	set     int
}

type origin struct {
	place string
	set   int // which setting of any key it was
}

func newLoader() *loader { return &loader{config: Default(), origins: map[string]origin{}} }

// add reads one file's text over what there is.
func (l *loader) add(file, text string) error {
	if err := l.parse(file, text); err != nil {
		return fmt.Errorf("configuration %s: %w", file, err)
	}
	l.config.Files = append(l.config.Files, file)
	return nil
}

func (l *loader) parse(file, text string) error {
	var values map[string]any
	if _, err := toml.Decode(text, &values); err != nil {
		return syntax(err)
	}
	statements, err := split(text)
	if err != nil {
		return err
	}
	before := l.config.Domains
	l.config.Domains = nil
	var heads []string // of each [[domain]]
	var errs []error
	for _, s := range statements {
		if !isHead(s.text) && firstUnknown(s.table) != nil {
			continue // said of the table's head
		}
		place := fmt.Sprintf("%s: line %d", file, s.line)
		if s.opensDomain() {
			heads = append(heads, place)
		} else if s.ofDomain() && len(heads) == 0 {
			return fmt.Errorf("line %d: a domain is written as [[domain]], and its keys below it", s.line)
		}
		if err := s.check(); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, key := range s.keys {
			l.set++
			name := key.String()
			if s.ofDomain() && len(key) > 1 {
				name = domainKey(len(before)+len(heads)-1, key[1])
			}
			l.origins[name] = origin{place, l.set}
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if _, err := toml.Decode(text, &l.config); err != nil {
		return syntax(err)
	}
	for i := range l.config.Domains {
		l.config.Domains[i].Source = heads[i]
	}
	l.config.Domains = slices.Concat(before, l.config.Domains)
	return nil
}

// syntax is the library's short form of an error, which names the line. Its longer one panics on some input.
func syntax(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "toml: "))
}

func domainKey(index int, key string) string { return fmt.Sprintf("domain.%d.%s", index, key) }

// check looks at the values once all files are read.
func (l *loader) check() error {
	c := &l.config
	if p := c.check(); p != nil {
		return l.locate(p, p.keys, "")
	}
	c.LTTng.OutputDir = filepath.Clean(c.LTTng.OutputDir) // it is compared with what LTTng reports
	all := Domain{Learning: c.Learning, Judging: c.Judging, Sources: c.Sources.Use, OverheadPercent: c.Actions.OverheadPercent}
	for i, m := range c.Domains {
		p := m.check()
		if p == nil {
			if p = all.with(m.Override).check(); p != nil {
				p = p.as(matchKey)
			}
		}
		if p == nil {
			continue
		}
		var keys []string
		for _, key := range p.keys {
			keys = append(keys, domainKey(i, key))
		}
		return l.locate(p, keys, m.Source)
	}
	return nil
}

// locate names the place at which one of the keys was last set; otherwise is the place when none was.
func (l *loader) locate(p *problem, keys []string, otherwise string) error {
	last := origin{place: otherwise}
	for _, key := range keys {
		if o, ok := l.origins[key]; ok && o.set > last.set {
			last = o
		}
	}
	return fmt.Errorf("configuration %s: %w", last.place, p)
}
