// Package lttng drives LTTng-UST sessions on the QEMU process of one domain.
//
// One [Session] traces one process: its VPID is tracked, its buffers are its own (per-PID), and events that find no room are discarded and
// counted, so a slow reader never holds up QEMU. The trace is read by rotation: [Session.Rotate] archives what was
// written so far as one chunk, complete and safe to read and to delete, while tracing goes on (lttng-concepts(7),
// "Recording session rotation"; lttng-rotate(1)). Between rotations, which are dear, a [Follower] reads what has been written already.
//
// Package lttng/catalogue says which trace points are enabled and what is counted of them, package lttng/ctf decodes a chunk, package
// lttng/unit cuts it into units of two seconds. This package holds the only binding of
// liblttng-ctl; no C type leaves it.
package lttng
