package monitor

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A profile for which there is no room is in force, and is kept when there is.
func TestKeptLater(t *testing.T) {
	cfg := testConfig(t)
	s := newSingle(t, cfg)
	s.begin()
	// A file where the directory is to be: whoever is root may write anywhere.
	if err := os.WriteFile(cfg.Profiles.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.learn()
	if err := os.Remove(cfg.Profiles.Dir); err != nil {
		t.Fatal(err)
	}
	kept := func() bool {
		list, _ := filepath.Glob(filepath.Join(cfg.Profiles.Dir, "*.profile"))
		return len(list) == 1
	}
	at := time.Now().Add(time.Hour)
	s.observe(load(keepAgain-1, at, 1, 0))
	if kept() {
		t.Error("tried again too soon")
	}
	s.observe(load(1, at.Add(time.Hour), 1, 0))
	if !kept() || s.judge.unkept != nil {
		t.Errorf("not kept after %d units", keepAgain)
	}
	if p, err := s.judge.store.Load(s.domain.UUID); err != nil || !p.Created.Equal(s.judge.profile.Created) {
		t.Errorf("kept: %v, %v; want the profile in force", p, err)
	}
}

// A profile that is thrown away is not kept later.
func TestThrownAwayIsNotKept(t *testing.T) {
	cfg := testConfig(t)
	s := newSingle(t, cfg)
	s.begin()
	if err := os.WriteFile(cfg.Profiles.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.learn()
	if err := os.Remove(cfg.Profiles.Dir); err != nil {
		t.Fatal(err)
	}
	if err := s.judge.relearn(0); err != nil {
		t.Fatal(err)
	}
	s.observe(load(keepAgain+5, time.Now().Add(time.Hour), 1, 0))
	if list, err := s.judge.store.List(); err != nil || len(list) > 0 {
		t.Errorf("kept: %v, %v", list, err)
	}
}
