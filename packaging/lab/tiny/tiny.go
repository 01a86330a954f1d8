// Package tiny holds what tiny guests are made from: their definition for libvirt, a text/template, and their only program besides busybox.
package tiny

import _ "embed"

// GuestXML is the definition: no disk but a small empty one, and a network card on the lab's bridge.
//
//go:embed guest.xml
var GuestXML string

// Init is what the guest's kernel runs: the guest serves a web page, and writes to its disk now and then.
//
//go:embed init
var Init []byte
