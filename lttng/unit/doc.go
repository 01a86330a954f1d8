// Package unit cuts LTTng traces into two-second units: how often each event
// occurred in each interval, or how often what a feature set of package catalogue tells
// apart, and how many events may be missing from it.
//
// Units lie on the grid of whole multiples of two seconds of the trace's clock with
// its offset applied (nanoseconds from the clock's origin, the Unix epoch with LTTng),
// so units of several traces of one machine lie on one grid.
//
// The traces of several processes found under one directory are counted together,
// into the same columns.
//
// A feature set needs the events' fields, and may need to know whose a virtqueue is.
// Events name queues and devices by addresses, which mean nothing after the next start
// of the guest. A Cutter learns from the events themselves what device a queue is of and
// of what kind that is, and counts by the queue's role (catalogue.Role). What is hit
// before its queue is known waits until its unit is closed, and is then counted by what
// is known, or as unknown.
package unit
