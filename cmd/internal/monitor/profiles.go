package monitor

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/model"
)

// askLimit bounds the wait for a watcher, which may be in a collection that does not end.
const askLimit = collectLimit + 5*time.Second

// ask runs f on the watcher's goroutine and waits for what it returns. After an error of its own, f has not run and will not.
func (w *watcher) ask(f func() error) error {
	var taken atomic.Bool // by whoever comes first: the goroutine, or the one who gives up
	answer := make(chan error, 1)
	queued := w.do(func() {
		if taken.CompareAndSwap(false, true) {
			answer <- f()
		}
	})
	if !queued {
		return fmt.Errorf("%w: domain %s is busy; try again", control.ErrRefused, w.domain.Name)
	}
	limit := time.NewTimer(askLimit)
	defer limit.Stop()
	select {
	case err := <-answer:
		return err
	case <-w.done:
		if taken.CompareAndSwap(false, true) {
			return fmt.Errorf("%s: %w", w.domain.Name, control.ErrNoDomain)
		}
	case <-limit.C:
		if taken.CompareAndSwap(false, true) {
			return fmt.Errorf("%w: domain %s is busy; try again", control.ErrRefused, w.domain.Name)
		}
	}
	return <-answer // it had just begun
}

// suits says what stands against judging the domain by a profile: nil, nothing. What the domain runs on is not known while it starts; then
// fit checks later.
func (j *judge) suits(p *model.Profile) error {
	if p.Catalogue != j.counted.Version() || !slices.Equal(p.Features, j.features) {
		return fmt.Errorf("%w: the profile was learnt with the feature set %.64q, this is %s", control.ErrRefused, p.Catalogue, j.counted.Version())
	}
	if j.runsOn.Catalogue == "" {
		return nil
	}
	if diff := p.Fingerprint.Diff(j.runsOn); len(diff) > 0 {
		return fmt.Errorf("%w: the profile was learnt on something else: %s", control.ErrRefused, strings.Join(diff, "; "))
	}
	return nil
}

// use puts a profile in force and begins to judge afresh. Errors: those of suits, and nothing has changed.
func (j *judge) use(p *model.Profile) error {
	if err := j.suits(p); err != nil {
		return err
	}
	j.gather(0)
	j.decider.Reset()
	j.profile, j.shelved, j.arrival, j.thrown = p, nil, nil, false
	j.looked.Store(true) // what the domain has brought along was less, or this is it
	return nil
}

// profileUUID finds whose profile a ref means: a running domain's, or a kept one by the UUID or the name in it. Errors: control.ErrNoProfile, and
// control.ErrRefused where a name is that of several.
func (m *Monitor) profileUUID(ref string) (string, error) {
	if d, err := m.find(ref); err == nil {
		return d.UUID, nil
	}
	ids, err := m.store.List()
	if err != nil {
		return "", err
	}
	for _, id := range ids {
		if strings.EqualFold(id, ref) {
			return id, nil
		}
	}
	if m.store.HasPrevious(ref) { // of one that is being learnt anew
		return strings.ToLower(ref), nil
	}
	var named []string
	for _, id := range ids {
		if p, err := m.store.Load(id); err == nil && ref != "" && p.Domain.Name == ref {
			named = append(named, id)
		}
	}
	switch len(named) {
	case 0:
	case 1:
		return named[0], nil
	default:
		return "", fmt.Errorf("%w: %d profiles are of a domain named %.256s: name the one that is meant by its UUID, %s",
			control.ErrRefused, len(named), ref, strings.Join(named, " or "))
	}
	return "", fmt.Errorf("%.256s: %w", ref, control.ErrNoProfile)
}

// load reads a kept profile.
func (m *Monitor) load(ref string) (*model.Profile, error) {
	uuid, err := m.profileUUID(ref)
	if err != nil {
		return nil, err
	}
	p, err := m.store.Load(uuid)
	return p, told(ref, err)
}

// told puts the store's errors into the words of the control interface.
func told(ref string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%.256s: %w", ref, control.ErrNoProfile)
	}
	return fmt.Errorf("%w: %w", control.ErrRefused, err)
}

// ListProfiles lists all kept profiles by name, control.Profiles. One that cannot be used is left out and logged.
func (m *Monitor) ListProfiles() ([]control.ProfileInfo, error) {
	ids, err := m.store.List()
	if err != nil {
		return nil, err
	}
	list := []control.ProfileInfo{}
	for _, id := range ids {
		p, err := m.store.Load(id)
		if err != nil {
			m.log.WithError(err).Warn("a profile cannot be used")
			continue
		}
		list = append(list, m.describe(p))
	}
	slices.SortFunc(list, func(a, b control.ProfileInfo) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UUID, b.UUID))
	})
	return list, nil
}

// Profile describes one, control.Profiles.
func (m *Monitor) Profile(ref string) (control.ProfileInfo, error) {
	p, err := m.load(ref)
	if err != nil {
		return control.ProfileInfo{}, err
	}
	return m.describe(p), nil
}

// describe says what is in a kept profile.
func (m *Monitor) describe(p *model.Profile) control.ProfileInfo {
	machine := p.Machine()
	info := control.ProfileInfo{
		UUID: p.Domain.UUID, Name: p.Domain.Name, Created: p.Created, Catalogue: p.Catalogue,
		Units: p.Training.Units, Dropped: p.Training.Dropped,
		Engine: machine.Engine, Nu: machine.Nu, Gamma: machine.Gamma, Rho: machine.Rho,
		Support: p.SupportVectors(), KKTResidual: machine.Certificate.Residual, Level: p.Level,
		QEMUBuild: p.Fingerprint.QEMUBuild, MachineType: p.Fingerprint.MachineType, Accelerator: p.Fingerprint.Accelerator,
		Source: p.Fingerprint.Source, Devices: p.Fingerprint.Devices,
		Previous: m.store.HasPrevious(p.Domain.UUID),
	}
	if c := p.Training.Convergence; c != nil {
		info.Converged, info.Convergence = new(c.Enough()), c.String()
	}
	for _, s := range p.Training.Trimmed {
		info.Trimmed = append(info.Trimmed, control.Trimmed{From: time.Unix(0, s.From).UTC(), To: time.Unix(0, s.To).UTC(), Units: s.Units})
	}
	usual := p.Usual()
	for i, f := range p.Features {
		subsystem, words := m.known.Describe(f)
		r := usual[i]
		info.Features = append(info.Features, control.UsualCounts{
			Feature: f, Subsystem: subsystem, Words: words, Low: r.Low, Typical: r.Typical, High: r.High,
		})
	}
	if w := m.watcher(p.Domain.UUID); w != nil {
		now := w.status()
		info.Name = now.Name
		info.InForce = now.Profile && now.Trained != nil && now.Trained.Equal(p.Created)
	}
	return info
}

// changed logs what an operator has done to a profile, and describes what is kept now.
func (m *Monitor) changed(what string, p *model.Profile) control.ProfileInfo {
	m.log.WithFields(logrus.Fields{"domain": p.Domain.Name, "uuid": p.Domain.UUID, "units": p.Training.Units}).Info(what)
	return m.describe(p)
}

// ExportProfile returns a kept profile's file, control.Profiles.
func (m *Monitor) ExportProfile(ref string) ([]byte, error) {
	p, err := m.load(ref)
	if err != nil {
		return nil, err
	}
	return p.Encode()
}

// ImportProfile puts a profile from elsewhere in force for a domain, control.Profiles.
func (m *Monitor) ImportProfile(ref string, file []byte) (control.ProfileInfo, error) {
	p, err := model.Decode(bytes.NewReader(file))
	if err != nil {
		return control.ProfileInfo{}, fmt.Errorf("%w: %w", control.ErrRefused, err)
	}
	return m.adopt(ref, p)
}

// CloneProfile puts a copy of a domain's profile in force for another one, control.Profiles.
func (m *Monitor) CloneProfile(from, to string) (control.ProfileInfo, error) {
	p, err := m.load(from)
	if err != nil {
		return control.ProfileInfo{}, err
	}
	return m.adopt(to, p)
}

// adopt makes p the profile of the domain that ref means. A domain that does not run is named by its UUID, or by the name in a profile that
// it has already.
func (m *Monitor) adopt(ref string, p *model.Profile) (control.ProfileInfo, error) {
	target, err := m.target(ref)
	if err != nil {
		return control.ProfileInfo{}, err
	}
	own := *p // a profile is not changed
	own.Domain = target
	err = m.steer(target.UUID, func(j *judge) error {
		if err := j.suits(&own); err != nil {
			return err
		}
		if err := told(ref, m.store.Save(&own)); err != nil {
			return err
		}
		return j.use(&own)
	}, func() error { return told(ref, m.store.Save(&own)) })
	if err != nil {
		return control.ProfileInfo{}, err
	}
	return m.changed("profile taken from elsewhere", &own), nil
}

// target is the domain that gets a profile.
func (m *Monitor) target(ref string) (model.Domain, error) {
	if d, err := m.find(ref); err == nil {
		return model.Domain{UUID: d.UUID, Name: d.Name}, nil
	}
	uuid, err := m.profileUUID(ref)
	if errors.Is(err, control.ErrRefused) {
		return model.Domain{}, err
	}
	if err == nil {
		if p, err := m.store.Load(uuid); err == nil {
			return p.Domain, nil
		}
	}
	if _, err := m.store.Path(ref); err != nil {
		return model.Domain{}, fmt.Errorf("%.256s: %w (one that does not run is named by its UUID)", ref, control.ErrNoDomain)
	}
	return model.Domain{UUID: strings.ToLower(ref)}, nil
}

// steer runs a change of a domain's profile: on its watcher's goroutine where it runs, and otherwise, with no judge, where it is.
func (m *Monitor) steer(uuid string, running func(*judge) error, otherwise func() error) error {
	w := m.watcher(uuid)
	if w == nil {
		err := otherwise()
		if w = m.watcher(uuid); w == nil || err != nil {
			return err
		}
		running = m.reload // it has started meanwhile, with what was kept before
	}
	return w.ask(func() error {
		err := running(w.judge)
		w.refresh()
		return err
	})
}

// reload has a domain judged by the profile that is kept now.
func (m *Monitor) reload(j *judge) error {
	p, err := m.store.Load(j.domain.UUID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		j.discard(0)
		return nil
	case err != nil:
		return told(j.domain.UUID, err)
	}
	return j.use(p)
}

// RollbackProfile puts the profile before the present one back in force, control.Profiles.
func (m *Monitor) RollbackProfile(ref string) (control.ProfileInfo, error) {
	uuid, err := m.profileUUID(ref)
	if err != nil {
		return control.ProfileInfo{}, err
	}
	var back *model.Profile
	rollback := func() error {
		p, err := m.store.Rollback(uuid)
		back = p
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%.256s: %w to roll back to", ref, control.ErrNoProfile)
		}
		return told(ref, err)
	}
	err = m.steer(uuid, func(j *judge) error {
		if err := rollback(); err != nil {
			return err
		}
		err := j.use(back)
		if err == nil {
			return nil
		}
		// The one that does not suit the domain any more goes where it was.
		return errors.Join(err, rollback())
	}, rollback)
	if err != nil {
		return control.ProfileInfo{}, err
	}
	return m.changed("profile rolled back", back), nil
}

// DeleteProfile forgets a domain's profile and the one before it, control.Profiles.
func (m *Monitor) DeleteProfile(ref string) error {
	uuid, err := m.profileUUID(ref)
	if err != nil {
		return err
	}
	if _, err := m.store.Load(uuid); errors.Is(err, fs.ErrNotExist) && !m.store.HasPrevious(uuid) {
		return told(ref, err)
	}
	remove := func() error { return told(ref, m.store.Remove(uuid)) }
	err = m.steer(uuid, func(j *judge) error {
		if err := remove(); err != nil {
			return err
		}
		j.discard(0)
		return nil
	}, remove)
	if err == nil {
		m.log.WithField("uuid", uuid).Info("profile deleted")
	}
	return err
}
