package lab

import (
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"text/template"

	recipes "github.com/virtsentry/virtsentry/packaging/lab"
)

// render fills one of the recipes. In an .xml recipe every value is escaped.
func render(file string, data map[string]any) ([]byte, error) {
	if strings.HasSuffix(file, ".xml") {
		escaped := make(map[string]any, len(data))
		for k, v := range data {
			var b strings.Builder
			if err := xml.EscapeText(&b, []byte(fmt.Sprint(v))); err != nil {
				return nil, fmt.Errorf("render %s: %w", file, err)
			}
			escaped[k] = b.String()
		}
		data = escaped
	}
	t, err := template.New(file).Option("missingkey=error").ParseFS(recipes.Files, file)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", file, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("render %s: %w", file, err)
	}
	return []byte(b.String()), nil
}

// writeConfigs writes the configuration of the lab's libvirtd and virtlogd.
func (l *Lab) writeConfigs(hostUUID string) error {
	uid, gid := qemuUser()
	for file, data := range map[string]map[string]any{
		"libvirtd.conf": {"SocketDir": l.path("libvirt"), "HostUUID": hostUUID},
		"virtlogd.conf": {},
		"qemu.conf":     {"UID": uid, "GID": gid},
	} {
		text, err := render(file, data)
		if err != nil {
			return err
		}
		if err := writeFile(l.path("etc-libvirt", file), text, 0o600); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	return nil
}

// qemuUser is the account that the distribution runs guests as; root where
// there is none.
func qemuUser() (uid, gid int) {
	for _, name := range []string{"libvirt-qemu", "qemu"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil {
			return uid, gid
		}
	}
	return os.Geteuid(), os.Getegid()
}

// randomUUID makes a version 4 UUID.
func randomUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, as crypto/rand promises
	return formatUUID(b, 4)
}

func formatUUID(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}
