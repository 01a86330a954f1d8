package monitor

import (
	"bytes"
	"errors"
	"io/fs"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/model"
)

// publishProfile writes the profile that is in force into the domain's metadata when it has changed, so that it goes where the domain goes, and takes
// out one that was thrown away.
func (w *watcher) publishProfile() {
	j := w.judge
	if !j.looked.Load() {
		return // what is there may be newer
	}
	if j.thrown {
		j.thrown, w.published = false, nil
		w.publish.put(libvirt.ProfileElement{})
	}
	p := j.profile
	if p == nil || p == w.published {
		return
	}
	w.published = p
	file, err := p.Encode()
	if err != nil {
		w.log.WithError(err).Error("profile not published")
		return
	}
	w.publish.put(libvirt.ProfileElement{
		Domain: w.domain.UUID, Host: w.m.host, Format: model.FormatVersion, Trained: p.Created, Updated: time.Now(), Units: p.Training.Units, File: file,
	})
}

// bring looks for a profile that a domain has brought along from another host, once in its life here. It came with the domain's definition, which is
// not simply believed: the file is parsed as one from outside, it must be of this very domain, and fit what the domain runs on now.
func (m *Monitor) bring(uuid string) {
	w, conn := m.watcher(uuid), m.connection()
	if w == nil || conn == nil || w.judge.looked.Load() {
		return
	}
	e, err := conn.Profile(uuid)
	if errors.Is(err, libvirt.ErrNoDomain) {
		return // not there yet, or not any more
	}
	var p *model.Profile
	if err == nil && e != nil && e.Domain == uuid && e.Host != m.host { // of what was learnt here, the store knows more
		p, err = model.Decode(bytes.NewReader(e.File))
	}
	if err != nil {
		w.log.WithError(err).Warn("the profile that the domain brought along is not used")
		if !errors.Is(err, libvirt.ErrGarbled) && e == nil {
			return // it could not be read; perhaps the next time
		}
	}
	if p == nil || p.Domain.UUID != uuid {
		w.do(w.unpacked)
		return
	}
	w.do(func() { w.bring(p, e.Host) })
}

// unpacked says that it is settled what the domain has brought along.
func (w *watcher) unpacked() {
	w.judge.looked.Store(true)
	w.refresh()
}

// bring puts a profile in force that came with the domain from another host, where it fits and none that is as new is kept here. The one that is kept
// here can be rolled back to.
func (w *watcher) bring(p *model.Profile, host string) {
	j := w.judge
	if j.looked.Load() { // an operator was quicker
		return
	}
	if j.runsOn.Catalogue == "" { // whether it fits is not known yet
		j.arrival = func() { w.bring(p, host) }
		return
	}
	defer w.unpacked()
	kept, err := j.store.Load(p.Domain.UUID)
	if err == nil && !p.Created.After(kept.Created) {
		return
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.WithError(err).Warn("the profile that is kept here cannot be used; the domain has brought one along")
	}
	log := w.log.WithFields(logrus.Fields{"host": host, "trained": p.Created, "units": p.Training.Units})
	if err := j.use(p); err != nil {
		log.WithError(err).Warn("the profile that the domain brought along is not used")
		return
	}
	log.Info("the domain brought its profile along")
	if err := j.store.Save(p); err != nil {
		w.log.WithError(err).Error("the profile is in force, but not kept")
	}
}
