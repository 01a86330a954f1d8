// Package ctf reads traces in the Common Trace Format 1.8 as LTTng writes them.
//
// Everything about a trace's layout comes from its own metadata, a text in TSDL
// (Trace Stream Description Language). The metadata is parsed once; the layout of
// each event class is compiled to a short programme that skips a whole event
// without decoding its fields. Fields are decoded only when asked for.
//
// The data may come from a hostile process: every read is checked against the
// packet's content, sizes read from the data never size an allocation beyond what
// the file holds, nesting and counts are limited, and what does not fit is an
// *Error with the file's name and the byte offset. Nothing here panics on input.
//
// A Trace and its Metadata may be used from several goroutines at once; a Reader
// belongs to one goroutine.
//
// Source: The Common Trace Format specification, version 1.8.3 (EfficiOS, 2020).
package ctf
