package monitor

import (
	"bytes"
	"errors"
	"io/fs"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
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
		w.publish.put(publication{})
	}
	p := j.profile
	if p == nil || p == w.published || j.unkept != nil {
		return
	}
	w.published = p
	w.publish.put(publication{p, j.cfg.Judging})
}

// publication is a profile that is to be written into a domain's metadata, and what it is learnt with; the zero value: none is to be there.
type publication struct {
	profile *model.Profile
	judging config.Judging
}

// writeProfile writes a profile element, on the recorder's goroutine.
func (w *watcher) writeProfile(n publication) error {
	var e libvirt.ProfileElement
	if n.profile != nil {
		packed, err := w.m.pack(n, w.log)
		if err != nil {
			return err
		}
		p := n.profile
		e = libvirt.ProfileElement{Domain: w.domain.UUID, Host: w.m.host, Format: model.FormatVersion, Trained: p.Created, Updated: time.Now(), Units: p.Training.Units}
		e.File, e.Content = packed.file, packed.content
		if len(w.m.keys) > 0 {
			e.Sign(w.m.keys[0])
		}
	}
	err := w.m.setProfile(w.domain.UUID, e, &w.stays)
	if err == nil {
		sum := e.Digest()
		w.element.Store(&sum)
	}
	return err
}

// errUnsigned says why a profile that a domain has brought along is not used.
var errUnsigned = errors.New("it is not signed with a key of migration.key_file: give all hosts that domains move between the same key")

// bring looks for a profile that a domain has brought along, once in its life here: from another host, or, where the file that is kept here is damaged, the
// copy of it. It came with the domain's definition, which is not simply believed: where there are keys it must be signed with one of them; the file is parsed
// as one from outside, it must be of this very domain, and fit what the domain runs on now.
func (m *Monitor) bring(uuid string) {
	w, conn := m.watcher(uuid), m.connection()
	if w == nil || conn == nil || w.judge.looked.Load() {
		return
	}
	e, err := conn.Profile(uuid)
	if errors.Is(err, libvirt.ErrNoDomain) {
		return // not there yet, or not any more
	}
	m.bringIncidents(w, conn)
	var p *model.Profile
	if err == nil && e != nil && e.Domain == uuid && (e.Host != m.host || m.lost(uuid)) { // of what was learnt here, the store knows more
		if len(m.keys) > 0 && !e.Signed(m.keys) {
			err = errUnsigned
		} else {
			p, err = model.Decode(bytes.NewReader(e.File))
		}
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

// lost says whether a profile is kept here that cannot be used. Where there is none, it may have been thrown away: then its copy is not wanted either.
func (m *Monitor) lost(uuid string) bool {
	_, err := m.store.Load(uuid)
	return err != nil && !errors.Is(err, fs.ErrNotExist)
}

// unpacked says that it is settled what the domain has brought along.
func (w *watcher) unpacked() {
	w.judge.looked.Store(true)
	w.carry()
	w.refresh()
}

// bring puts a profile in force that came with the domain, where it fits and none that is as new is kept here. The one that is kept here can be rolled back
// to, unless it is damaged; then the store keeps it apart.
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
		w.log.WithError(err).Warn("the profile that is kept here cannot be used; the domain's metadata has another one")
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
