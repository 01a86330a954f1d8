package monitor

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/model"
)

// SignWith has what goes along with domains signed with the first of these keys, and what comes along believed only if one of them has signed it. It is
// to be called before Run.
func (m *Monitor) SignWith(keys [][]byte) { m.keys = keys }

// packed is a profile file as it goes into a domain's metadata.
type packed struct {
	file, content []byte // as it is, and compressed
}

// compactVectors is how many support vectors a view may have in a profile that is to take less room, first tried first.
var compactVectors = []int{64, 48, 32}

// pack makes a profile small enough for a domain's metadata. One that is not is learnt again from the same units with fewer support vectors, if these
// are kept; and where that is not enough, or they are not, it goes without its last views. That takes seconds, and is done once for a profile: what
// came of it is kept beside it. Only one profile at a time is packed.
func (m *Monitor) pack(n publication, log logrus.FieldLogger) (packed, error) {
	m.packing.Lock()
	defer m.packing.Unlock()
	content, err := m.store.Travel(n.profile)
	if err == nil {
		if file, err := libvirt.UnpackProfile(content); err == nil {
			return packed{file, content}, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		log.WithError(err).Warn("what is to be sent along of the profile is made anew")
	}
	small, err := packProfile(n.profile)
	if errors.Is(err, libvirt.ErrTooLarge) {
		small, err = m.compact(n, log)
	}
	if err != nil {
		return small, fmt.Errorf("pack the profile: %w", err)
	}
	if err := m.store.SaveTravel(n.profile, small.content); err != nil {
		log.WithError(err).Warn("what is sent along of the profile is not kept, and made anew the next time")
	}
	return small, nil
}

func packProfile(p *model.Profile) (packed, error) {
	file, err := p.Encode()
	if err != nil {
		return packed{}, err
	}
	content, err := libvirt.PackProfile(file)
	return packed{file, content}, err
}

// compact packs what of a profile takes less room. Errors wrap libvirt.ErrTooLarge where nothing does.
func (m *Monitor) compact(n publication, log logrus.FieldLogger) (packed, error) {
	least := n.profile
	rows, err := trainingRows(m.store, n.profile)
	for _, vectors := range compactVectors {
		if err != nil {
			break
		}
		var p *model.Profile
		if p, err = m.learnCompact(n, rows, vectors); err != nil {
			break
		}
		least = p
		small, err := packProfile(p)
		if !errors.Is(err, libvirt.ErrTooLarge) {
			log.WithField("vectors", p.SupportVectors()).Info("the profile that goes where the domain goes has fewer support vectors than the one in force")
			return small, err
		}
	}
	if err != nil {
		log.WithError(err).Info("the profile that goes where the domain goes cannot be learnt with fewer support vectors")
	}
	for p := least.WithoutLastView(); p != nil; p = p.WithoutLastView() {
		small, err := packProfile(p)
		if !errors.Is(err, libvirt.ErrTooLarge) {
			log.Warnf("the profile is too large for the domain's metadata: %d of its %d views go where the domain goes", len(p.Views), len(n.profile.Views))
			return small, err
		}
	}
	return packProfile(least)
}

// learnCompact learns a profile again from the units that it was learnt from.
func (m *Monitor) learnCompact(n publication, rows []model.Row, vectors int) (*model.Profile, error) {
	p := n.profile
	again, err := model.Train(m.engine, model.Dataset{Features: p.Features, Rows: rows}, model.Options{
		Domain: p.Domain, Catalogue: p.Catalogue, Fingerprint: p.Fingerprint, Created: p.Created,
		Nu: n.judging.Nu, Gamma: n.judging.Gamma, Level: p.Level, MaxVectors: vectors,
	})
	if err == nil {
		again.Training = p.Training
	}
	return again, err
}
