package model

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "write golden files anew")

const golden = "testdata/golden.profile"

var ignorePrepared = cmpopts.IgnoreUnexported(Profile{}, View{}, Scaling{}, Machine{}, Calibration{})

// sealed gives a body a right header.
func sealed(body string) []byte {
	return fmt.Appendf(nil, "virtsentry-profile 5 sha256 %s %d\n%s", digest([]byte(body)), len(body), body)
}

func TestEncodeRoundTrip(t *testing.T) {
	p, g := trained(t, 1, 90)
	data, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	q, err := Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, q, ignorePrepared); diff != "" {
		t.Error(diff)
	}
	u := g.unit(2).Values
	a, _ := p.Judge(u)
	b, err := q.Judge(u)
	if err != nil || a != b {
		t.Errorf("%+v, read back %+v, %v", a, b, err)
	}
}

// The golden file keeps the format: what was written once stays readable.
func TestGolden(t *testing.T) {
	if *update {
		p, _ := trained(t, 1, 40)
		data, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.Encode()
	if err != nil || !bytes.Equal(data, again) {
		t.Errorf("written again it differs (%v)", err)
	}
	for _, tc := range []struct {
		values    []float64
		score     float64
		anomalous bool
	}{
		{[]float64{200, 50, 0, 0, 40, 35, 300, 280, 12, 3, 90, 0, 1000, 25}, 0.464134295164, false},
		{[]float64{200, 50, 0, 0, 900, 35, 300, 280, 12, 3, 90, 0, 1000, 25}, -382.156051486, true},
	} {
		v, err := p.Judge(tc.values)
		if err != nil || v.Anomalous != tc.anomalous || math.Abs(v.Score-tc.score) > 1e-8 {
			t.Errorf("%v: %+v (score %.12g), %v", tc.values, v, v.Score, err)
		}
	}
}

// Any one bit that turns is found.
func TestDecodeFindsFlippedBits(t *testing.T) {
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(data); i += 1 + i/40 {
		bad := bytes.Clone(data)
		bad[i] ^= 1 << (i % 8)
		if _, err := Decode(bytes.NewReader(bad)); !isProfileFault(err) {
			t.Errorf("byte %d of %d: %v", i, len(data), err)
		}
	}
	for _, n := range []int{0, 1, 20, 80, 120, len(data) - 1} {
		if _, err := Decode(bytes.NewReader(data[:n])); !isProfileFault(err) {
			t.Errorf("first %d bytes: %v", n, err)
		}
	}
}

// isProfileFault says whether err is one of those that Decode promises.
func isProfileFault(err error) bool {
	for _, want := range []error{ErrFormat, ErrVersion, ErrChecksum, ErrTooLarge, ErrInvalid} {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}

func TestDecodeRefuses(t *testing.T) {
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	body := string(data[bytes.IndexByte(data, '\n')+1:])
	replace := func(old, by string) []byte {
		if !strings.Contains(body, old) {
			t.Fatalf("golden file has no %q", old)
		}
		return sealed(strings.Replace(body, old, by, 1))
	}
	for _, tc := range []struct {
		name string
		data []byte
		want error
	}{
		{"empty", nil, ErrFormat},
		{"something else", []byte("svm_type one_class\n"), ErrFormat},
		{"no version", []byte("virtsentry-profile\n"), ErrFormat},
		{"older", []byte("virtsentry-profile 1 sha256 0 3\n{}\n"), ErrVersion},
		{"newer", []byte("virtsentry-profile 6 some other header\n{}"), ErrVersion},
		{"strange header", []byte("virtsentry-profile 5 md5 x 2\n{}"), ErrFormat},
		{"endless header", bytes.Repeat([]byte("virtsentry-profile 5 "), 100), ErrFormat},
		{"longer than said", append(bytes.Clone(data), ' '), ErrFormat},
		{"too large", make([]byte, MaxFileBytes+1), ErrTooLarge},
		{"no JSON", sealed("hello"), ErrInvalid},
		{"null", sealed("null"), ErrInvalid},
		{"nothing in it", sealed("{}"), ErrInvalid},
		{"two documents", sealed(body + "{}"), ErrInvalid},
		{"unknown field in fingerprint", replace(`"accelerator"`, `"colour": 1, "accelerator"`), ErrInvalid},
		{"fingerprint not printable", replace(`"ust"`, `"\u001b[2J"`), ErrInvalid},
		{"devices not sorted", replace(`"virtio-blk-pci"`, `"z"`), ErrInvalid},
		{"engine not printable", replace(`"smo"`, `"\u0007"`), ErrInvalid},
		{"failure not printable", replace(`"engine":"smo"`, `"engine":"smo","failed":{"engine":"x","reason":"\n"}`), ErrInvalid},
		{"unknown field", replace(`"catalogue"`, `"colour": 1, "catalogue"`), ErrInvalid},
		{"feature twice", replace(`"tick"`, `"timer"`), ErrInvalid},
		{"feature missing", replace(`"tick",`, ``), ErrInvalid},
		{"range upside down", replace(`"high":200`, `"high":100`), ErrInvalid},
		{"level", replace(`"level":0.002`, `"level":2`), ErrInvalid},
		{"units", replace(`"units":40`, `"units":0`), ErrInvalid},
		{"nu", replace(`"nu":0.05`, `"nu":0.06`), ErrInvalid},
		{"rows", replace(`"rows":40`, `"rows":41`), ErrInvalid},
		{"gamma", replace(`"gamma":`, `"gamma":-`), ErrInvalid},
		{"offset", replace(`"rho":`, `"rho":1`), ErrInvalid},
	} {
		if _, err := Decode(bytes.NewReader(tc.data)); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if _, err := Decode(iotest.ErrReader(os.ErrPermission)); !errors.Is(err, os.ErrPermission) {
		t.Errorf("failing reader: %v", err)
	}
}

// Numbers turned inside of a well-formed file are refused, or make no difference
// that the checks care about, but never a panic.
func TestDecodeChecksMachine(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(p *Profile)
	}{
		{"vector missing", func(p *Profile) { p.Machine().Vectors = p.Machine().Vectors[1:] }},
		{"vector short", func(p *Profile) { p.Machine().Vectors[0] = p.Machine().Vectors[0][1:] }},
		{"vector far out", func(p *Profile) { p.Machine().Vectors[0][4] = 1e12 }},
		{"vector moved", func(p *Profile) { p.Machine().Vectors[0][4] += 3 }},
		{"coefficient", func(p *Profile) { p.Machine().Alpha[0] /= 2 }},
		{"coefficients exchanged", func(p *Profile) {
			a := p.Machine().Alpha
			most := slices.Index(a, slices.Max(a))
			a[most], a[0] = a[most]/2, a[0]+a[most]/2
		}},
		{"gamma", func(p *Profile) { p.Machine().Gamma *= 1.5 }},
		{"sum", func(p *Profile) { p.Machine().Certificate.Sum++ }},
		{"residual", func(p *Profile) { p.Machine().Certificate.Residual = 1 }},
		{"mean", func(p *Profile) { p.Views[0].Scaling.Mean[0] = -1 }},
		{"means", func(p *Profile) { p.Views[0].Scaling.Mean = nil }},
		{"rare", func(p *Profile) { p.Views[0].Scaling.Rare = 0 }},
		{"column", func(p *Profile) { p.Views[0].Scaling.Columns[0] = 99 }},
		{"column negative", func(p *Profile) { p.Views[0].Scaling.Columns[0] = -1 }},
		{"column twice", func(p *Profile) { p.Views[0].Scaling.Columns[0] = p.Views[0].Scaling.Columns[1] }},
		{"frequent last", func(p *Profile) {
			m := p.Views[0].Scaling.Mean
			m[0], m[len(m)-1] = m[len(m)-1], m[0]
		}},
		{"centre", func(p *Profile) { p.Views[0].Scaling.Center[0] = -1e10 }},
		{"spread of a column", func(p *Profile) { p.Views[0].Scaling.Spread[0] = 0 }},
		{"direction short", func(p *Profile) { p.Views[0].Scaling.Direction[0] = p.Views[0].Scaling.Direction[0][1:] }},
		{"direction long", func(p *Profile) { p.Views[0].Scaling.Direction[0][4] += 1 }},
		{"factor", func(p *Profile) { p.Views[0].Scaling.Factor[0] = 0 }},
		{"factors", func(p *Profile) { p.Views[0].Scaling.Factor = nil }},
		{"ranges", func(p *Profile) { p.Views[0].Usual = nil }},
		{"spread", func(p *Profile) { p.Views[0].Usual[0].Spread = 0 }},
		{"scores", func(p *Profile) { p.Views[0].Calibration.Scores = nil }},
		{"scores unsorted", func(p *Profile) { p.Views[0].Calibration.Scores[0] = 5 }},
		{"no views", func(p *Profile) { p.Views = nil }},
		{"single units last", func(p *Profile) { p.Views[0].Units = 6 }},
		{"view of nothing", func(p *Profile) { p.Views[0].Units = 0 }},
		{"view twice", func(p *Profile) { p.Views = append(p.Views, p.Views[0]) }},
		{"octaves of none", func(p *Profile) { p.Views[0].Octaves = true }},
	} {
		p, _ := trained(t, 1, 40)
		tc.edit(p)
		data, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(bytes.NewReader(data)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// FuzzDecode feeds bodies with a right header, so that the parser behind the
// checksum is reached, and raw files. Whatever is accepted judges and explains without
// a panic, and survives being written again.
func FuzzDecode(f *testing.F) {
	// A small profile, for the fuzzer's speed.
	d := Dataset{Features: []string{"a", "b"}}
	for i := range 30 {
		d.Rows = append(d.Rows, Row{Start: int64(i) * int64(Width), Values: []float64{float64(i * i), float64(i % 3)}})
	}
	p, err := Train(smo{}, d, Options{Nu: 0.1, Domain: Domain{UUID: testUUID}})
	if err != nil {
		f.Fatal(err)
	}
	p.Views[0].Calibration = newCalibration(p.Views[0].Calibration.Scores[:6], 1)
	data, err := p.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[bytes.IndexByte(data, '\n')+1:], true)
	f.Add(data, false)
	f.Add([]byte("{}"), true)
	f.Fuzz(func(t *testing.T, file []byte, seal bool) {
		if seal {
			file = sealed(string(file))
		}
		p, err := Decode(bytes.NewReader(file))
		if err != nil {
			if !isProfileFault(err) {
				t.Fatalf("unexpected kind of error: %v", err)
			}
			return
		}
		values := make([]float64, len(p.Features))
		for j := range values {
			values[j] = p.Usual()[j].Typical
		}
		v, err := p.Judge(values)
		if err != nil || math.IsNaN(v.Score) || math.IsInf(v.Score, 0) || !(v.Tail > 0) {
			t.Fatalf("verdict %+v, %v", v, err)
		}
		if _, err := p.Complete(values, LossyColumns(true, len(values))); err != nil {
			t.Fatal(err)
		}
		list, err := p.Explain(values)
		if err != nil {
			t.Fatal(err)
		}
		_ = Sentence(list, 3, nil)
		again, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(bytes.NewReader(again)); err != nil {
			t.Fatalf("written again: %v", err)
		}
	})
}
