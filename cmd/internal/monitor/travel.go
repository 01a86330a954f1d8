package monitor

import (
	"bytes"
	"time"

	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/model"
)

// publishProfile writes the profile that is in force into the domain's metadata when it has changed, so that it goes where the domain goes.
func (w *watcher) publishProfile() {
	p := w.judge.profile
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

// bring hands a domain that has no profile here the one that it has brought along from another host. It came with the domain's definition, which is not simply
// believed: the file is parsed as one from outside, it must be of this very domain, and fit what the domain runs on now.
func (m *Monitor) bring(uuid string) {
	w, conn := m.watcher(uuid), m.connection()
	if w == nil || conn == nil || w.status().Profile {
		return
	}
	e, err := conn.Profile(uuid)
	if err != nil {
		w.log.WithError(err).Warn("the profile that the domain brought along is not used")
		return
	}
	if e == nil || e.Domain != uuid || e.Host == m.host { // of what was learnt here, the store knows more
		return
	}
	p, err := model.Decode(bytes.NewReader(e.File))
	if err != nil {
		w.log.WithError(err).Warn("the profile that the domain brought along is not used")
		return
	}
	w.do(func() { w.bring(p) })
}

// bring puts a profile in force that came with the domain, where none has been learnt here.
func (w *watcher) bring(p *model.Profile) {
	j := w.judge
	if j.profile != nil || j.note != nil || p.Domain.UUID != w.domain.UUID {
		return
	}
	if err := j.use(p); err != nil {
		w.log.WithError(err).Warn("the profile that the domain brought along is not used")
		return
	}
	w.log.WithField("units", p.Training.Units).Info("the domain brought its profile along")
	if err := w.m.store.Save(p); err != nil {
		w.log.WithError(err).Error("the profile is in force, but not kept")
	}
	w.refresh()
}
