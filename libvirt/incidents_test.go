package libvirt

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestIncidents(t *testing.T) {
	c := connect(t)
	d := only(t, c)
	without(t, c, d, IncidentsURI)
	if e, err := c.Incidents(d.UUID); e != nil || err != nil {
		t.Errorf("Incidents before any = %+v, %v", e, err)
	}
	want := IncidentsElement{
		Domain: d.UUID, Host: "a", Updated: time.Date(2026, 11, 21, 12, 0, 0, 123e6, time.UTC), Records: []byte(`[{"text":"<&>"}]`),
	}
	want.Sign([]byte("key"))
	if err := c.SetIncidents(d.UUID, want); err != nil {
		t.Fatal(err)
	}
	got, err := c.Incidents(d.UUID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("Incidents (-want +got):\n%s", diff)
	}
	if !got.Signed([][]byte{[]byte("another"), []byte("key")}) || got.Signed([][]byte{[]byte("another")}) {
		t.Errorf("signed: %x", got.Signature)
	}
	got.Records = append(got.Records, ' ')
	if got.Signed([][]byte{[]byte("key")}) {
		t.Error("what was changed is still signed")
	}
	text, err := want.element()
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range valid(t, "incidents-1.rng", string(text), inNamespace(string(text), "incidents")) {
		if err != nil {
			t.Errorf("form %d: %v", i, err)
		}
	}
	want.Records = make([]byte, MaxIncidents+1)
	if err := c.SetIncidents(d.UUID, want); !errors.Is(err, ErrTooLarge) {
		t.Errorf("SetIncidents of too much: %v", err)
	}
	without(t, c, d, IncidentsURI)
}

func TestIncidentsGarbled(t *testing.T) {
	const good = `<incidents domain="c7a5fdbd-cdaf-9455-926a-d65c16db1809" updated="2026-11-21T11:00:00Z">[]</incidents>`
	if _, err := parseIncidents(good); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing":   "",
		"another":   strings.ReplaceAll(good, "incidents", "state"),
		"domain":    strings.Replace(good, "c7a5", "C7A5", 1),
		"time":      strings.Replace(good, "updated", "written", 1),
		"signature": strings.Replace(good, "<incidents", `<incidents signature="x"`, 1),
		"large":     strings.Replace(good, "[]", strings.Repeat(" ", MaxIncidents+1), 1),
		"huge":      good + strings.Repeat(" ", 4*MaxIncidents),
	} {
		if _, err := parseIncidents(text); !errors.Is(err, ErrGarbled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzIncidents(f *testing.F) {
	f.Add(`<incidents domain="c7a5fdbd-cdaf-9455-926a-d65c16db1809" host="a" updated="2026-11-21T11:00:00Z" signature="00">[]</incidents>`)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseIncidents(text)
		if err != nil {
			if !errors.Is(err, ErrGarbled) {
				t.Fatal(err)
			}
			return
		}
		again, err := e.element()
		if err != nil {
			return // XML knows of no year 10000
		}
		if _, err := parseIncidents(string(again)); err != nil && len(again) <= 4*MaxIncidents {
			t.Fatal(err)
		}
	})
}
