// Package cost says beforehand what it costs a guest to be looked at more closely: the slow-down as a sum of non-negative terms, each a unit cost per event of a
// kind, or a fixed one of a source, with what several sources share counted once.
//
// A guest that takes a second for some work takes 1+r seconds for it while it is observed. The overhead r is what adds up:
//
//	r = Σ over terms of coefficient × rate of the term's kind of events (1 for a fixed term)
//
// Rates are events a second of the guest as it is without the sources in question. What an operator reads is the slow-down r/(1+r), the part of the guest's speed
// that is lost. Coefficients are fitted to observations of this host by non-negative least squares; there are none that come with the programme.
//
// The package does no I/O but on readers and writers that it is given, and knows nothing of libvirt, LTTng or the kernel's sources: the terms say what there is.
package cost
