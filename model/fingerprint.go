package model

import (
	"fmt"
	"slices"
)

// Fingerprint is what a guest's counts depend on besides what the guest does. A profile
// judges rightly only where it is the same as when the profile was learnt. ""
// means unknown.
type Fingerprint struct {
	QEMUBuild   string   `json:"qemu_build"`  // build id of the QEMU executable
	MachineType string   `json:"machine"`     // canonical, "pc-q35-7.2"
	Accelerator string   `json:"accelerator"` // "kvm", "tcg"
	Devices     []string `json:"devices"`     // sorted; one that is there twice is listed twice
	Catalogue   string   `json:"catalogue"`   // version of the feature catalogue
	Source      string   `json:"source"`      // who counts
}

// Limits on a stored fingerprint.
const maxDevices = 1024

// Diff says in plain words, one sentence part for each, how other, the present
// fingerprint, differs from f, the learnt one; nil if it does not. The order of
// devices makes no difference.
func (f Fingerprint) Diff(other Fingerprint) []string {
	var differ []string
	for _, field := range []struct{ what, was, is string }{
		{"QEMU build", f.QEMUBuild, other.QEMUBuild},
		{"machine type", f.MachineType, other.MachineType},
		{"accelerator", f.Accelerator, other.Accelerator},
		{"feature catalogue", f.Catalogue, other.Catalogue},
		{"source", f.Source, other.Source},
	} {
		if field.was != field.is {
			differ = append(differ, fmt.Sprintf("%s is %s, was %s", field.what, orUnknown(field.is), orUnknown(field.was)))
		}
	}
	for _, d := range missingFrom(f.Devices, other.Devices) {
		differ = append(differ, fmt.Sprintf("device %s is new", d))
	}
	for _, d := range missingFrom(other.Devices, f.Devices) {
		differ = append(differ, fmt.Sprintf("device %s is gone", d))
	}
	return differ
}

// orUnknown is s, or a word for nothing.
func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// missingFrom returns what of devices is not in list, sorted, each as often as list
// has it too seldom.
func missingFrom(list, devices []string) []string {
	have := make(map[string]int, len(list))
	for _, d := range list {
		have[d]++
	}
	var missing []string
	for _, d := range slices.Sorted(slices.Values(devices)) {
		if have[d]--; have[d] < 0 {
			missing = append(missing, d)
		}
	}
	return missing
}

// check verifies a fingerprint that came from outside.
func (f Fingerprint) check() error {
	if len(f.Devices) > maxDevices || !slices.IsSorted(f.Devices) {
		return fmt.Errorf("fingerprint has %d devices, want at most %d, sorted", len(f.Devices), maxDevices)
	}
	for _, s := range append([]string{f.QEMUBuild, f.MachineType, f.Accelerator, f.Catalogue, f.Source}, f.Devices...) {
		if err := checkText("part of the fingerprint", s); err != nil {
			return err
		}
	}
	return nil
}
