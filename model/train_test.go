package model

import (
	"testing"
	"time"
)

const testUUID = "0b4e3d2c-7a91-4f0e-8a55-1c2d3e4f5a6b"

// trained returns a profile of a simulated guest, and the guest.
func trained(t testing.TB, seed uint64, units int) (*Profile, *guest) {
	t.Helper()
	g := newGuest(seed, 0.5, 0.3)
	p, err := Train(smo{}, g.dataset(units), Options{
		Domain:    Domain{UUID: testUUID, Name: "web"},
		Catalogue: "test 1", Created: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, g
}

func TestJudge(t *testing.T) {
	p, g := trained(t, 1, 90)
	wrong := 0
	for range 1000 {
		v, err := p.Judge(g.unit(1).Values)
		if err != nil {
			t.Fatal(err)
		}
		if v.Anomalous {
			wrong++
		}
	}
	if wrong > 50 {
		t.Errorf("%d of 1000 normal units are anomalous", wrong)
	}
	v, err := p.Judge(g.unit(8).Values)
	if err != nil || !v.Anomalous {
		t.Errorf("eightfold load: %+v, %v", v, err)
	}
}
