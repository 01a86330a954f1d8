// Package recipes holds the texts that the lab is made from: the
// configuration of its libvirtd and the definition of its guests. They are
// text/template templates.
package recipes

import "embed"

// Files are libvirtd.conf, virtlogd.conf, qemu.conf and guest.xml.
//
//go:embed libvirtd.conf virtlogd.conf qemu.conf guest.xml
var Files embed.FS
