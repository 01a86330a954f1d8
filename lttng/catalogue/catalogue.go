// Package catalogue says what virtsentry makes of the trace points of QEMU: which are enabled, which numbers a unit has, to which
// subsystem each belongs and what it means in plain words.
//
// A feature [Set] is declared in a file (sets/*.toml), see README.md there. Four are part of the programme: "counts", the hits of some
// twenty trace points; "paper", the five trace points of Table 1 of Paundu et al. (ICICS
// 2015); "default", few trace points with their arguments; and "wide", which adds families to choose from.
package catalogue

// Provider is the name of QEMU's own trace point provider.
const Provider = "qemu"
