package lab

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPackageIndex(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("needs dpkg-deb")
	}
	dir := t.TempDir()
	var want strings.Builder
	for _, name := range []string{"a-tool", "b-tool"} {
		control := fmt.Sprintf("Package: %s\nVersion: 1:2.0+x\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDepends: libc6\nDescription: a tool\n It does nothing.\n", name)
		tree := filepath.Join(t.TempDir(), name)
		if err := os.MkdirAll(filepath.Join(tree, "DEBIAN"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, "DEBIAN", "control"), []byte(control), 0o644); err != nil {
			t.Fatal(err)
		}
		deb := name + "_1%3a2.0+x_all.deb" // as apt-get download names it
		if out, err := exec.CommandContext(t.Context(), "dpkg-deb", "--root-owner-group", "-b", tree, filepath.Join(dir, deb)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		raw, err := os.ReadFile(filepath.Join(dir, deb))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&want, "%sFilename: ./%s\nSize: %d\nSHA256: %x\n\n", control, deb, len(raw), sha256.Sum256(raw))
	}
	got, err := packageIndex(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(filepath.Join(dir, "c.deb"), []byte("no package"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := packageIndex(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "c.deb") {
		t.Errorf("a file that is no package: error %v, want one that names it", err)
	}
}
