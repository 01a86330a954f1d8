// Package unit cuts LTTng traces into two-second units: how often each event
// occurred in each interval, and how many events may be missing from it.
//
// Units lie on the grid of whole multiples of two seconds of the trace's clock with
// its offset applied (nanoseconds from the clock's origin, the Unix epoch with LTTng),
// so units of several traces of one machine lie on one grid.
//
// The traces of several processes found under one directory are counted together,
// into the same columns.
package unit
