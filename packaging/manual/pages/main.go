// Command pages makes the manual pages that are not of cobra's commands: virtsentry.toml(5) from the configuration file that packages install, and
// virtsentry-metadata(7) from what the schemas' README says, and virtsentry-apparmor(8). The others are made from the commands themselves, by tests (package manual).
//
// usage: go run ./packaging/manual/pages DIR
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/virtsentry/virtsentry/packaging/manual"
)

const (
	configuration = "packaging/etc/virtsentry.toml"
	vocabulary    = "packaging/schemas/README.md"
	armour        = "packaging/manual/virtsentry-apparmor.md"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./packaging/manual/pages DIR (from the top of the tree)")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "pages:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	for _, page := range []struct {
		title, from string
		section     int
		name        string
		markdown    func(string) string
	}{
		{"virtsentry.toml", configuration, 5, "configuration of virtsentryd", keys},
		{"virtsentry-metadata", vocabulary, 7, "what virtsentry says of a domain in libvirt's metadata", body},
		{"virtsentry-apparmor", armour, 8, "lets QEMU use LTTng-UST, as AppArmor confines it", func(text string) string { return text }},
	} {
		text, err := os.ReadFile(page.from)
		if err != nil {
			return err
		}
		out := manual.Page(page.title, page.section, page.name, page.markdown(string(text)))
		path := filepath.Join(dir, fmt.Sprintf("%s.%d", page.title, page.section))
		if err := os.WriteFile(path, out, 0o644); err != nil { //nolint:gosec // a page is for all
			return err
		}
	}
	return nil
}
