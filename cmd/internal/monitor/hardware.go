package monitor

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/model"
)

// The coverages of a domain.
const (
	coverageFull    = "full"    // all its devices are seen
	coveragePartial = "partial" // some are not
	coverageNone    = "none"
	coverageUnknown = "unknown" // its devices have not been read yet
)

// coverage says which of the domain's devices the units tell of.
func (w *watcher) coverage() (string, []control.Unseen) {
	var unseen []control.Unseen
	for _, d := range w.hardware.Devices {
		if why := w.unseen(d); why != "" {
			unseen = append(unseen, control.Unseen{Kind: d.Kind, Name: d.Name, Why: why})
		}
	}
	switch {
	case w.stranger() != nil || w.blind != nil || w.source == nil || !w.heard:
		return coverageNone, unseen
	case !w.known:
		return coverageUnknown, nil
	case len(unseen) > 0:
		return coveragePartial, unseen
	}
	return coverageFull, nil
}

// unseen says why the units tell nothing of a device; empty: they do.
func (w *watcher) unseen(d libvirt.Device) string {
	if w.source == nil {
		return d.Unseen
	}
	counted := w.source.counts()
	tap, functions := slices.Contains(counted.sources, probe.Tap), slices.Contains(counted.sources, probe.Functions)
	switch {
	case tap && d.Tap:
		return ""
	case counted.set != nil || functions:
		return d.Unseen
	case d.Unseen != "":
		return d.Unseen
	case tap:
		return "only packets on tap devices are seen (sources.use)"
	}
	return "of devices themselves nothing is seen, only system calls or exits (sources.use)"
}

func (w *watcher) setHardware(h libvirt.Hardware) {
	w.hardware, w.known = h, true
	w.check()
	w.identify()
	w.refresh()
}

// check makes sure that the process runs the domain's emulator.
func (w *watcher) check() {
	if w.proc.PID == 0 || w.hardware.Emulator == "" { // libvirt's test driver has none
		return
	}
	err := w.m.processes.Check(w.proc, w.hardware.Emulator)
	switch w.foreign = nil; {
	case errors.Is(err, qemu.ErrOtherExecutable):
		w.foreign = because(reasonIdentity, err.Error())
		w.report(incidentIdentity, err.Error())
	case err != nil && !errors.Is(err, qemu.ErrNoProcess): // of one that has ended, nothing comes any more
		w.foreign = because(reasonNoAccess, "not known whether its process runs its emulator: "+err.Error())
	}
}

// stranger says why what is recorded is not taken for the domain's; nil: it is.
func (w *watcher) stranger() *control.Reason { return cmp.Or(w.foreign, w.usurped, w.doubt) }

// identify tells the judge what the guest runs on, once all of it is known. A profile that was learnt on something else is not used.
func (w *watcher) identify() {
	if !w.known || w.source == nil {
		return
	}
	f := model.Fingerprint{
		QEMUBuild: w.build, MachineType: w.hardware.Machine, Accelerator: w.hardware.Accelerator,
		Catalogue: w.source.counts().Version(), Source: w.source.counts().Source(),
	}
	for _, d := range w.hardware.Devices {
		f.Devices = append(f.Devices, strings.TrimSpace(d.Kind+" "+d.Type))
	}
	if diff := w.judge.fit(f); len(diff) > 0 {
		w.log.WithField("differs", strings.Join(diff, "; ")).Warn("the profile was learnt on something else and is not used")
	}
}
