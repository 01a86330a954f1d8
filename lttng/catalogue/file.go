package catalogue

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// Bounds of a set file.
const (
	MaxColumns  = 4096    // of one set: each costs a number in every unit
	maxFileSize = 1 << 18 // bytes
	maxEntries  = 256
	maxValues   = 64 // prefixes of one list
	maxPairs    = 32 // events whose pairs are counted
	maxText     = 200
)

// The units that a bucket's words know.
const (
	unitBytes   = "bytes"
	unitSectors = "sectors"
	unitNS      = "ns"
)

// file is a set file as it stands in TOML.
type file struct {
	Name     string    `toml:"name"`
	Version  int       `toml:"version"`
	About    string    `toml:"about"`
	Base     string    `toml:"base"`
	Identity []string  `toml:"identity"`
	Features []feature `toml:"feature"`
	Pairs    *pairs    `toml:"pairs"`
}

type feature struct {
	Name      string      `toml:"name"`
	Event     string      `toml:"event"`
	Subsystem string      `toml:"subsystem"`
	Words     string      `toml:"words"`
	Queues    []string    `toml:"queues"`
	Where     *where      `toml:"where"`
	Values    *values     `toml:"values"`
	Buckets   *bucketSpec `toml:"buckets"`
	Gap       *bucketSpec `toml:"gap"`
}

type where struct {
	Field string   `toml:"field"`
	Is    []string `toml:"is"`
	Not   []string `toml:"not"`
}

type values struct {
	Field  string  `toml:"field"`
	Others string  `toml:"others"`
	List   []value `toml:"list"`
}

type value struct {
	Prefix string `toml:"prefix"`
	Words  string `toml:"words"`
}

type bucketSpec struct {
	Field     string `toml:"field"`
	Unit      string `toml:"unit"`
	PerOctave uint64 `toml:"per_octave"`
	Min       uint64 `toml:"min"`
	Max       uint64 `toml:"max"`
}

type pairs struct {
	Subsystem string   `toml:"subsystem"`
	Events    []string `toml:"events"`
}

// decode reads a set file strictly.
func decode(data []byte) (*file, error) {
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("larger than %d bytes", maxFileSize)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("no UTF-8 text")
	}
	var f file
	md, err := toml.Decode(string(data), &f)
	if err != nil {
		return nil, err
	}
	if unknown := md.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("unknown key %.80q", unknown[0].String())
	}
	// The library takes keys for ours whatever their case, and of several one or another.
	for _, key := range md.Keys() {
		if text := key.String(); text != strings.ToLower(text) {
			return nil, fmt.Errorf("unknown key %.80q", text)
		}
	}
	return &f, f.check()
}

func (f *file) check() error {
	switch {
	case !identifier(f.Name):
		return fmt.Errorf("name %.80q is no identifier", f.Name)
	case f.Version < 1 || f.Version > 1<<30:
		return fmt.Errorf("version %d is not within 1 to %d", f.Version, 1<<30)
	case !plainText(f.About, 20*maxText):
		return errors.New("about is no plain text")
	case f.Base != "" && !identifier(f.Base):
		return fmt.Errorf("base %.80q is no identifier", f.Base)
	case len(f.Features) == 0 && f.Pairs == nil && f.Base == "":
		return errors.New("it has no features")
	case len(f.Features) > maxEntries:
		return fmt.Errorf("more than %d features", maxEntries)
	}
	for _, e := range f.Identity {
		if !identityEvents[e] {
			return fmt.Errorf("identity: no device is told by event %.80q", e)
		}
	}
	for i := range f.Features {
		if err := f.Features[i].check(); err != nil {
			return fmt.Errorf("feature %d (event %.80q): %w", i+1, f.Features[i].Event, err)
		}
	}
	if p := f.Pairs; p != nil {
		if len(p.Events) < 2 || len(p.Events) > maxPairs || !identifier(p.Subsystem) {
			return fmt.Errorf("pairs: they need a subsystem and 2 to %d events", maxPairs)
		}
		for _, e := range p.Events {
			if !identifier(e) {
				return fmt.Errorf("pairs: event %.80q is no identifier", e)
			}
		}
	}
	return nil
}

func (e *feature) check() error {
	switch {
	case !identifier(e.Event):
		return errors.New("event is no identifier")
	case e.Name != "" && !columnPart(e.Name):
		return fmt.Errorf("name %.80q cannot stand in a column's name", e.Name)
	case !identifier(e.Subsystem):
		return fmt.Errorf("subsystem %.80q is no identifier", e.Subsystem)
	case e.Words == "" || !plainText(e.Words, maxText):
		return errors.New("words are missing, or no plain text")
	case strings.ContainsAny(template(e.Words, "", "", ""), "{}"):
		return errors.New("words have braces that are neither {queue} nor {value} nor {range}")
	case e.Buckets != nil && e.Gap != nil:
		return errors.New("buckets and gap exclude each other")
	}
	for _, err := range []error{e.Where.check(), e.Values.check(), e.Buckets.check(true), e.Gap.check(false)} {
		if err != nil {
			return err
		}
	}
	for _, need := range []struct {
		template string
		needed   bool
	}{{"{range}", e.Buckets != nil || e.Gap != nil}, {"{value}", e.Values != nil}} {
		if n := strings.Count(e.Words, need.template); need.needed != (n == 1) && (need.needed || n > 0) {
			return fmt.Errorf("words need %s where it tells the columns apart, and only there", need.template)
		}
	}
	return nil
}

func (w *where) check() error {
	if w == nil {
		return nil
	}
	if !identifier(w.Field) || (len(w.Is) == 0) == (len(w.Not) == 0) {
		return errors.New("where needs a field, and one of is and not")
	}
	for _, list := range [][]string{w.Is, w.Not} {
		if len(list) > maxValues {
			return fmt.Errorf("where: more than %d prefixes", maxValues)
		}
		for _, p := range list {
			if p == "" || !plainText(p, maxText) {
				return fmt.Errorf("where: prefix %.80q is empty or no plain text", p)
			}
		}
	}
	return nil
}

func (v *values) check() error {
	if v == nil {
		return nil
	}
	if !identifier(v.Field) || len(v.List) == 0 || len(v.List) > maxValues {
		return fmt.Errorf("values need a field and a list of 1 to %d prefixes", maxValues)
	}
	if !spoken(v.Others) {
		return errors.New("values: others needs words for all other values")
	}
	for _, x := range v.List {
		if !columnPart(x.Prefix) {
			return fmt.Errorf("values: prefix %.80q cannot stand in a column's name", x.Prefix)
		}
		if !spoken(x.Words) {
			return fmt.Errorf("values: prefix %.80q has no plain words", x.Prefix)
		}
	}
	return nil
}

func (b *bucketSpec) check(field bool) error {
	if b == nil {
		return nil
	}
	switch {
	case field && !identifier(b.Field):
		return errors.New("buckets need a field")
	case !field && b.Field != "":
		return errors.New("gap has no field: it is the time since the hit before")
	case !field && b.Unit != unitNS:
		return errors.New(`the unit of gap is "ns"`)
	case b.Unit != "" && b.Unit != unitBytes && b.Unit != unitSectors && b.Unit != unitNS:
		return fmt.Errorf("unit %.80q is none of bytes, sectors, ns", b.Unit)
	case bits.OnesCount64(b.PerOctave) != 1 || b.PerOctave > 64:
		return fmt.Errorf("per_octave %d is none of 1, 2, 4, 8, 16, 32, 64", b.PerOctave)
	case bits.OnesCount64(b.Min) != 1 || bits.OnesCount64(b.Max) != 1 || b.Min < b.PerOctave || b.Max <= b.Min:
		return errors.New("min and max must be powers of two, min at least per_octave and below max")
	}
	return nil
}

// identifier tells whether s is a name as trace points, fields and subsystems have.
func identifier(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && len(s) <= maxText
}

// columnPart tells whether s can stand in the name of a column.
func columnPart(s string) bool {
	return s != "" && len(s) <= maxText && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`,":=<>`, r)
	})
}

// spoken tells whether s can be put into a feature's words.
func spoken(s string) bool { return s != "" && plainText(s, maxText) && !strings.ContainsAny(s, "{}") }

// plainText tells whether s is printable and not too long.
func plainText(s string, most int) bool {
	return len(s) <= most && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
