package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/model"
)

// element waits until the domain's profile element is there, or is not.
func (b *bench) element(want bool) (e *libvirt.ProfileElement) {
	b.t.Helper()
	b.within("the profile element", func(control.DomainStatus) bool {
		var err error
		e, err = b.client.Profile(b.domain.UUID)
		return err == nil && (e != nil) == want
	})
	return e
}

// A profile goes where its domain goes: what one host has written, another one uses.
func TestProfileTravels(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	b.source.put(batch{units: load(60, time.Now(), 1, 0)})
	b.await(stateStarting, reasonNoUnit)
	e := b.element(true)
	if e.Units != 60 || e.Domain != b.domain.UUID || e.Format != model.FormatVersion {
		t.Errorf("profile element of %s, %d units, format %d", e.Domain, e.Units, e.Format)
	}
	b.end()

	e.Host = "elsewhere"
	if err := b.client.SetProfile(b.domain.UUID, *e); err != nil {
		t.Fatal(err)
	}
	there := newBench(t, testConfig(t))
	d := there.within("the profile is in force", func(d control.DomainStatus) bool { return d.Profile })
	if d.LearntUnits != 60 {
		t.Errorf("profile of %d units; want 60", d.LearntUnits)
	}
	if _, err := there.store.Load(b.domain.UUID); err != nil {
		t.Errorf("the profile is not kept: %v", err)
	}
}

// Where there are keys, only what one of them has signed is believed.
func TestProfileSigned(t *testing.T) {
	keys := [][]byte{[]byte("the first key of this very test, long enough"), []byte("the key of before")}
	b := newIdleBench(t, testConfig(t), testSet)
	b.SignWith(keys[1:])
	b.start()
	b.await(stateLearning, "")
	b.source.put(batch{units: load(60, time.Now(), 1, 0)})
	b.await(stateStarting, reasonNoUnit)
	e := b.element(true)
	b.end()
	e.Host = "elsewhere"
	for _, tc := range []struct {
		name string
		key  []byte
		used bool
	}{
		{"as it was signed for another host", nil, false},
		{"with another key", []byte("another"), false},
		{"with the key of before", keys[1], true},
	} {
		if tc.key != nil {
			e.Sign(tc.key)
		}
		if err := b.client.SetProfile(b.domain.UUID, *e); err != nil {
			t.Fatal(err)
		}
		there := newIdleBench(t, testConfig(t), testSet)
		there.SignWith(keys)
		there.start()
		if !tc.used {
			there.await(stateLearning, "")
			there.within(tc.name+": it is settled what the domain has brought along", func(control.DomainStatus) bool {
				return there.watcher(b.domain.UUID).judge.looked.Load()
			})
			if d := there.within("", func(control.DomainStatus) bool { return true }); d.Profile {
				t.Errorf("%s: the profile is in force", tc.name)
			}
		} else {
			there.within(tc.name+": the profile is in force", func(d control.DomainStatus) bool { return d.Profile })
			there.within("it is signed with the first key", func(control.DomainStatus) bool {
				now, err := there.client.Profile(b.domain.UUID)
				return err == nil && now != nil && now.Host == there.host && now.Signed(keys[:1])
			})
		}
		there.end()
	}
}

// A domain that was away comes home with what was learnt there, if that is newer and fits.
func TestProfileComesHome(t *testing.T) {
	cfg := testConfig(t)
	b := newBench(t, cfg)
	b.await(stateLearning, "")
	b.source.put(batch{units: load(60, time.Now(), 1, 0)})
	b.await(stateStarting, reasonNoUnit)
	e := b.element(true)
	b.end()
	kept, err := b.store.Load(b.domain.UUID)
	if err != nil {
		t.Fatal(err)
	}
	last := kept.Created
	for _, tc := range []struct {
		name  string
		age   time.Duration // of the one that it brings, against the one that is kept here
		build string        // of the QEMU that it was learnt on
		taken bool
	}{
		{"newer, on another QEMU", 2 * time.Hour, "another", false},
		{"as new", 0, "", false},
		{"older", -time.Hour, "", false},
		{"newer", time.Hour, "", true},
	} {
		brought := *kept
		brought.Created, brought.Fingerprint.QEMUBuild = kept.Created.Add(tc.age), tc.build
		if e.File, err = brought.Encode(); err != nil {
			t.Fatal(err)
		}
		e.Host, e.Trained = "elsewhere", brought.Created
		if err := b.client.SetProfile(b.domain.UUID, *e); err != nil {
			t.Fatal(err)
		}
		here := cfg
		here.LTTng.OutputDir, here.Hooks.Pokes = t.TempDir(), filepath.Join(t.TempDir(), "pokes")
		home := newBench(t, here)
		if tc.taken {
			last = brought.Created
		}
		home.within(tc.name+": the profile in force is written", func(d control.DomainStatus) bool {
			now, err := home.client.Profile(home.domain.UUID)
			return err == nil && now.Host == home.host && now.Trained.Equal(last.UTC().Truncate(time.Millisecond)) && d.Trained != nil && d.Trained.Equal(last)
		})
		home.end()
		if p, err := home.store.Load(home.domain.UUID); err != nil || !p.Created.Equal(last) || home.store.HasPrevious(p.Domain.UUID) != tc.taken {
			t.Errorf("%s: kept is the one of %v, %v; want that of %v", tc.name, p.Created, err, last)
		}
	}
}

// What was thrown away goes nowhere: it is not in the domain's definition any more, and does not come back with the daemon.
func TestThrownAway(t *testing.T) {
	for name, throw := range map[string]func(*bench) error{
		"delete": func(b *bench) error { return b.DeleteProfile(b.domain.UUID) },
		"learn":  func(b *bench) error { return b.Learn(b.domain.Name, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			b := newBench(t, cfg)
			b.await(stateLearning, "")
			b.source.put(batch{units: load(60, time.Now(), 1, 0)})
			b.await(stateStarting, reasonNoUnit)
			b.element(true)
			if err := throw(b); err != nil {
				t.Fatal(err)
			}
			b.element(false)
			b.end()
			cfg.LTTng.OutputDir, cfg.Hooks.Pokes = t.TempDir(), filepath.Join(t.TempDir(), "pokes")
			again := newBench(t, cfg)
			again.await(stateLearning, reasonGathering)
			back, err := again.RollbackProfile(again.domain.UUID)
			if name == "learn" {
				if err != nil || back.Units != 60 || !back.InForce {
					t.Errorf("RollbackProfile = %+v, %v", back, err)
				}
				again.element(true)
			} else if !errors.Is(err, control.ErrNoProfile) {
				t.Errorf("RollbackProfile = %+v, %v; want none", back, err)
			}
		})
	}
}

// Where the file that is kept here is damaged, the copy in the domain's metadata is in force and kept; where it was removed, the copy is not wanted.
func TestCopyOfDamagedProfile(t *testing.T) {
	cfg := testConfig(t)
	b := newBench(t, cfg)
	b.await(stateLearning, "")
	b.source.put(batch{units: load(60, time.Now(), 1, 0)})
	b.await(stateStarting, reasonNoUnit)
	b.element(true)
	b.end()
	path, err := b.store.Path(b.domain.UUID)
	if err != nil {
		t.Fatal(err)
	}
	again := func() *bench {
		cfg.LTTng.OutputDir, cfg.Hooks.Pokes = t.TempDir(), filepath.Join(t.TempDir(), "pokes")
		return newBench(t, cfg)
	}
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	damaged := again()
	if d := damaged.within("the copy is in force", func(d control.DomainStatus) bool { return d.Profile }); d.LearntUnits != 60 {
		t.Errorf("profile of %d units; want 60", d.LearntUnits)
	}
	damaged.end()
	if p, err := damaged.store.Load(b.domain.UUID); err != nil || p.Training.Units != 60 {
		t.Errorf("the copy is not kept: %v", err)
	}
	if info, err := os.Stat(path + ".damaged"); err != nil || info.Size() != 100 {
		t.Errorf("the damaged file is not kept apart: %v, %v", info, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	removed := again()
	removed.await(stateLearning, reasonGathering)
	removed.end()
	if _, err := removed.store.Load(b.domain.UUID); err == nil {
		t.Error("a profile that was removed is back")
	}
}
