//go:build integration

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/hooks"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/model"
)

// profileFile is the guest's, and what is in it.
func (g *guest) profileFile(t *testing.T) (path string, text []byte) {
	t.Helper()
	path, err := model.NewStore(g.file("profiles")).Path(g.uuid)
	if err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, text
}

// another is the guest's profile, as another domain's.
func another(t *testing.T, text []byte) []byte {
	t.Helper()
	p, err := model.Decode(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	p.Domain = model.Domain{UUID: "0b5e55ed-0000-4000-8000-000000000001", Name: "another"}
	file, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func (s *stack) faultProfileFiles(t *testing.T) seen {
	path, right := s.web.profileFile(t)
	before, _ := s.web.status(t)
	restore := func() {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, right, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(restore)
	changed := slices.Clone(right)
	changed[len(changed)/2] ^= 1
	future := bytes.Replace(right, fmt.Appendf(nil, " %d ", model.FormatVersion), fmt.Appendf(nil, " %d ", model.FormatVersion+1), 1)
	damages := []struct {
		what string
		text []byte // nil: a directory
	}{{"changed", changed}, {"cut", right[:len(right)/2]}, {"empty", []byte{}}, {"another domain's", another(t, right)}, {"of the future", future}, {"a directory", nil}}
	for _, damage := range damages {
		s.stopDaemon(t)
		if err := s.client.RemoveProfile(s.web.uuid); err != nil { // the case profile-copy has a copy there
			t.Fatal(err)
		}
		damaged(t, path, damage.text)
		event := time.Now()
		s.startDaemon(t)
		c := s.web.becomes(t, event, "learning, as the file is "+damage.what, is("learning"))
		if c.Reason == nil || c.Reason.Code != "profile-unusable" || !strings.Contains(c.Reason.Text, path) {
			t.Errorf("a file that is %s: reason %+v; want profile-unusable, and %s", damage.what, c.Reason, path)
		}
	}
	s.stopDaemon(t)
	restore()
	event := time.Now()
	s.startDaemon(t)
	s.web.becomes(t, event, "judged by the right file", seesAgain)
	if d, _ := s.web.status(t); d.Trained == nil || !d.Trained.Equal(*before.Trained) {
		t.Errorf("status %+v; want the profile of before", d)
	}
	return seen{times: len(damages)}
}

// damaged puts something else in a file's place; nil: a directory.
func damaged(t *testing.T, path string, text []byte) {
	t.Helper()
	err := os.RemoveAll(path)
	if text == nil {
		err = errors.Join(err, os.Mkdir(path, 0o700))
	} else {
		err = errors.Join(err, os.WriteFile(path, text, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *stack) faultProfileCopy(t *testing.T) seen {
	path, right := s.web.profileFile(t)
	before, _ := s.web.status(t)
	t.Cleanup(func() {
		if t.Failed() {
			damaged(t, path, right)
		}
	})
	texts := [][]byte{right[:len(right)/2], nil}
	for _, text := range texts {
		s.within(t, "the metadata has a copy", func() bool {
			e, err := s.client.Profile(s.web.uuid)
			return err == nil && e != nil && e.Trained.Sub(*before.Trained).Abs() < time.Second
		})
		s.stopDaemon(t)
		damaged(t, path, text)
		event := time.Now()
		s.startDaemon(t)
		s.web.becomes(t, event, "judged by the copy", func(c hooks.Change) bool { return seesAgain(c) && c.State != "learning" })
		s.web.judgedAfter(t, event)
		if d, _ := s.web.status(t); d.Trained == nil || !d.Trained.Equal(*before.Trained) {
			t.Errorf("status %+v; want the profile of before", d)
		}
		if _, again := s.web.profileFile(t); !bytes.Equal(again, right) {
			t.Error("the file is not as it was before it was damaged")
		}
		if info, err := os.Lstat(path + ".damaged"); err != nil || info.IsDir() != (text == nil) {
			t.Errorf("the damaged file is not kept: %v, %v", info, err)
		}
	}
	return seen{times: len(texts)}
}

// setMetadata has somebody else write an element; "": remove it.
func (g *guest) setMetadata(t *testing.T, uri, text string, where golibvirt.DomainModificationImpact) {
	t.Helper()
	g.domain(t, func(d *golibvirt.Domain) error {
		return d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, text, "somebody", uri, where)
	})
}

func (s *stack) faultMetadata(t *testing.T) seen {
	texts := []string{"", "<state/>", `<state value="rosy" since="never"/>`, "<other>" + strings.Repeat("x", 100_000) + "</other>",
		`<state value="normal" since="2000-01-01T00:00:00Z" updated="2000-01-01T00:00:00Z" valid-until="2100-01-01T00:00:00Z" host="h" boot-id="b" coverage="full"/>`}
	for _, text := range texts {
		event := time.Now()
		s.web.setMetadata(t, libvirt.StateURI, text, golibvirt.DOMAIN_AFFECT_LIVE)
		s.within(t, fmt.Sprintf("the state is written again after %.60q", text), func() bool {
			d, ok := s.web.status(t)
			state, err := s.client.State(s.web.uuid)
			return ok && err == nil && state != nil && state.Value == d.State && state.Host == s.lab.Hostname() && state.Updated.After(event)
		})
		units := s.heard.between(s.web.uuid, event, time.Now())
		s.took(len(units), time.Since(event))
		if len(units) > mostUnits {
			t.Errorf("after %.60q the state was written again only %d units later", text, len(units))
		}
		time.Sleep(12 * time.Second) // one who writes again and again is not raced
	}
	return seen{times: len(texts)}
}

func (s *stack) faultProfileElement(t *testing.T) {
	before, _ := s.web.status(t)
	s.web.setMetadata(t, libvirt.ProfileURI, "<profile><file>no base64</file></profile>", golibvirt.DOMAIN_AFFECT_LIVE)
	s.stopDaemon(t)
	event := time.Now()
	s.startDaemon(t)
	s.web.becomes(t, event, "judged by the profile file", seesAgain)
	s.web.judgedAfter(t, event)
	if d, _ := s.web.status(t); d.Trained == nil || !d.Trained.Equal(*before.Trained) {
		t.Errorf("status %+v; want the profile of before", d)
	}
	s.within(t, "the element is right again", func() bool {
		e, err := s.client.Profile(s.web.uuid)
		return err == nil && e != nil && e.Trained.Sub(*before.Trained).Abs() < time.Second
	})
}

func (s *stack) faultPolicy(t *testing.T) {
	event := time.Now()
	s.web.setMetadata(t, libvirt.PolicyURI, `<policy watch="perhaps"/>`, golibvirt.DOMAIN_AFFECT_CONFIG)
	t.Cleanup(func() {
		if t.Failed() {
			s.web.setMetadata(t, libvirt.PolicyURI, "", golibvirt.DOMAIN_AFFECT_CONFIG)
		}
	})
	shown := func(want bool) {
		t.Helper()
		from := time.Now()
		s.within(t, fmt.Sprintf("an incident is in the metadata: %v", want), func() bool {
			state, err := s.client.State(s.web.uuid)
			return err == nil && state != nil && want == slices.ContainsFunc(state.Incidents, func(x libvirt.Incident) bool { return x.Kind == "policy" })
		})
		s.took(len(s.heard.between(s.web.uuid, from, time.Now())), time.Since(from))
		if s.worst.units > mostUnits {
			t.Errorf("the incident was shown only %d units later", s.worst.units)
		}
	}
	shown(true)
	s.web.unmoved(t, event, 3)
	s.web.setMetadata(t, libvirt.PolicyURI, "", golibvirt.DOMAIN_AFFECT_CONFIG)
	shown(false)
}

func (s *stack) faultTwoDaemons(t *testing.T) seen {
	event := time.Now()
	text, err := os.ReadFile(s.file("virtsentryd.toml"))
	if err != nil {
		t.Fatal(err)
	}
	other := s.file("other.toml")
	text = bytes.ReplaceAll(text, []byte(s.file("control.sock")), []byte(s.file("other.sock")))
	text = bytes.ReplaceAll(text, []byte(s.file("metrics.sock")), []byte(s.file("other-metrics.sock")))
	if err := os.WriteFile(other, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for config, names := range map[string]string{s.file("virtsentryd.toml"): s.file("control.sock"), other: s.file("traces")} {
		out, err := s.virtsentryd("--config", config).CombinedOutput()
		if err == nil || !strings.Contains(string(out), names) {
			t.Errorf("a second daemon with %s: %v, %s; want an error that names %s", config, err, out, names)
		}
	}
	s.web.unmoved(t, event, 4)
	return seen{times: 2}
}
