package cost

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestObservationsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := world(rapid.Uint64Range(0, 50).Draw(t, "seed"), rapid.IntRange(1, 3).Draw(t, "workloads"), 0.01)
		if rapid.Bool().Draw(t, "without") {
			want.Without = map[string]string{"kvm": "the guest runs without KVM"}
		}
		want.Begin = time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "begin"), 0).UTC()
		var b bytes.Buffer
		if err := WriteObservations(&b, want); err != nil {
			t.Fatal(err)
		}
		text := b.Bytes()
		got, err := ReadObservations(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		cut := rapid.IntRange(0, len(text)-2).Draw(t, "cut")
		if _, err := ReadObservations(bytes.NewReader(text[:cut])); !errors.Is(err, ErrFormat) {
			t.Errorf("cut off after %d of %d bytes: %v", cut, len(text), err)
		}
	})
}

func TestReadObservationsRefuses(t *testing.T) {
	const head = `{"format":"virtsentry cost observations","version":1}` + "\n"
	const one = `{"workload":"web","sources":["ust"],"rates":{"syscall":1},"overhead":0.1}` + "\n"
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "the file is empty"},
		{"another file", "start_ns,duration_ns,lost\n", "not a file of observations"},
		{"another version", strings.Replace(head, ":1}", ":9}", 1), "version 9, and this programme reads 1"},
		{"no reason", `{"format":"virtsentry cost observations","version":1,"without":{"kvm":"\u001b[2J"}}` + "\n", "why kvm was not observed"},
		{"cut off", head + one, "cut off after line 2"},
		{"one is missing", head + one + `{"observations":2}` + "\n", "line 3: the file has 1 observations of 2"},
		{"more after the end", head + `{"observations":0}` + "\n" + one, "line 3: more after the end"},
		{"an unknown key", head + `{"workload":"web","colour":"red"}` + "\n", `unknown field "colour"`},
		{"a rate of less than nothing", head + `{"workload":"web","rates":{"syscall":-1}}` + "\n", "rate of syscall: -1"},
		{"beyond numbers", head + `{"workload":"web","overhead":1e999}` + "\n", "line 2"},
		{"far too slow", head + `{"workload":"web","overhead":1e9}` + "\n", "overhead 1e+09"},
		{"no workload", head + `{}` + "\n", "workload"},
		{"a long line", head + strings.Repeat(" ", maxLine+1) + "\n", "line 2: longer than"},
		{"two in a line", head + strings.TrimSpace(one) + one, "more than one value"},
	} {
		_, err := ReadObservations(strings.NewReader(tc.text))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

func encoded(t testing.TB) []byte {
	t.Helper()
	o := world(3, 3, 0.002)
	o.Begin = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	c, err := Fit(testScheme(), o)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCalibrationRoundTrip(t *testing.T) {
	text := encoded(t)
	c, err := Decode(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := c.Encode(&again); err != nil || !bytes.Equal(text, again.Bytes()) {
		t.Errorf("encoded again it differs (%v)", err)
	}
	want := fitted(t, world(3, 3, 0.002))
	rates := Rates{"probe:disk": 100, "probe:net": 2000}
	a, errA := want.Predict(rates, []string{"all", "syscalls"}, "ust")
	b, errB := c.Predict(rates, []string{"all", "syscalls"}, "ust")
	if errA != nil || errB != nil || !cmp.Equal(a, b) {
		t.Error(errA, errB, cmp.Diff(a, b))
	}
	rapid.Check(t, func(t *rapid.T) {
		cut := rapid.IntRange(0, len(text)-2).Draw(t, "cut")
		if _, err := Decode(bytes.NewReader(text[:cut])); !errors.Is(err, ErrFormat) {
			t.Errorf("cut off after %d of %d bytes: %v", cut, len(text), err)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	text := string(encoded(t))
	for _, tc := range []struct{ name, old, replaced, want string }{
		{"cut off", text[len(text)/2:], "", "cut off"},
		{"another version", `"version":1`, `"version":2`, "version 2, and this programme reads 1"},
		{"another file", `"format":"virtsentry cost calibration"`, `"format":"x"`, `format "x"`},
		{"an unknown key", `"version":1`, `"version":1,"more":1`, `unknown field "more"`},
		{"a negative number", `"widen":`, `"widen":-`, "widened by -"},
		{"samples of another size", `"samples":[[`, `"samples":[[1,`, "sample 1"},
		{"a coefficient of another name", `"name":"call"`, `"name":"cull"`, "not those of the terms"},
		{"a source that nobody knows", `"sources":["ust"]`, `"sources":["oracle"]`, "no such source"},
		{"something after it", "\n", "\n{}", ""},
	} {
		bad := strings.Replace(text, tc.old, tc.replaced, 1)
		if bad == text {
			t.Errorf("%s: nothing replaced", tc.name)
		}
		if _, err := Decode(strings.NewReader(bad)); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

func FuzzReadObservations(f *testing.F) {
	var b bytes.Buffer
	if err := WriteObservations(&b, Observations{Origin: "a host", List: []Observation{
		{Workload: "web", Sources: []string{"ust", "syscalls"}, Rates: Rates{"syscall": 1e4}, Overhead: 0.02, Error: 0.01, Pairs: 7, HeldOut: true},
	}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(fmt.Sprintf(`{"format":%q,"version":1}`+"\n"+`{"observations":0}`, observationsFormat)))
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := ReadObservations(bytes.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteObservations(&b, o); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if _, err := ReadObservations(&b); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if len(o.List) > 50 {
			return
		}
		if c, err := Fit(testScheme(), o); err == nil {
			_, _ = c.Predict(Rates{"syscall": 1e3}, []string{"syscalls"})
		}
	})
}

func FuzzDecodeCalibration(f *testing.F) {
	f.Add(encoded(f))
	f.Add([]byte(`{"format":"virtsentry cost calibration","version":1,"scheme":[{"coefficient":"a","kind":"k","by":["s"]}],` +
		`"coefficients":[{"name":"a","value":1,"low":0,"high":2,"known":true}],"samples":[[1]],"widen":1,"observations":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Decode(bytes.NewReader(text))
		if err != nil {
			return
		}
		p, err := c.Predict(Rates{"k": 5, "syscall": 1e4}, c.Scheme().Sources())
		if err == nil && !(p.Low >= 0 && p.Low <= p.Slowdown && p.Slowdown <= p.High && p.High <= 1) {
			t.Fatalf("%+v", p)
		}
		var b bytes.Buffer
		if err := c.Encode(&b); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}
