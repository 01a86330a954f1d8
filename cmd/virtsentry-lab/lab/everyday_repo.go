package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
)

// everydayPackages are what a guest installs and removes: tools that bring
// no service, with what they need beyond the guest's image.
var everydayPackages = []string{
	"bc", "file", "git", "git-man", "htop", "jq", "less", "libcurl3-gnutls", "liberror-perl", "libevent-core-2.1-7",
	"libgpm2", "libjq1", "libnl-3-200", "libnl-genl-3-200", "libunwind8", "libutempter0", "nano", "sqlite3", "strace",
	"tmux", "vim", "vim-common", "vim-runtime",
}

// packageRepository returns a directory with the packages and their index, a
// flat repository of apt(8). They are fetched once, by the host's own apt,
// whose release the guest's image is made from too.
func (l *Lab) packageRepository(ctx context.Context) (string, error) {
	dir := filepath.Join(l.diskDir(), "packages")
	index := filepath.Join(dir, "Packages")
	if isFile(index) {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("fetch packages for the guest: %w", err)
	}
	l.log.Infof("fetching %d packages for the guest to install", len(everydayPackages))
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "APT::Sandbox::User=root", "download"}, everydayPackages...)...)
	cmd.Dir = dir
	ownGroup(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch packages for the guest: %w: %s; apt-get update may help", err, tail(out))
	}
	if err := simplifyNames(dir); err != nil {
		return "", err
	}
	text, err := packageIndex(ctx, dir)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(index, text, 0o644); err != nil { //nolint:gosec // served to everybody
		return "", fmt.Errorf("write package index: %w", err)
	}
	return dir, nil
}

var unsafeInAddress = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// simplifyNames gives the packages names that need no quoting in an address:
// apt(8) quotes those of a flat repository once more than servers undo.
func simplifyNames(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return fmt.Errorf("rename packages: %w", err)
	}
	for _, file := range files {
		simple := unsafeInAddress.ReplaceAllString(filepath.Base(file), "-")
		if err := os.Rename(file, filepath.Join(dir, simple)); err != nil {
			return fmt.Errorf("rename packages: %w", err)
		}
	}
	return nil
}

// packageIndex makes the file Packages of a flat repository: of each package
// its control fields, and where it is.
func packageIndex(ctx context.Context, dir string) ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return nil, fmt.Errorf("index packages: %w", err)
	}
	slices.Sort(files)
	var index bytes.Buffer
	for _, file := range files {
		control, err := exec.CommandContext(ctx, "dpkg-deb", "-f", file).Output()
		if err != nil {
			return nil, fmt.Errorf("index package %s: %w", filepath.Base(file), err)
		}
		size, sum, err := digest(file)
		if err != nil {
			return nil, fmt.Errorf("index package: %w", err)
		}
		fmt.Fprintf(&index, "%s\nFilename: ./%s\nSize: %d\nSHA256: %x\n\n", bytes.TrimSpace(control), filepath.Base(file), size, sum)
	}
	return index.Bytes(), nil
}

func digest(path string) (size int64, sum []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return size, h.Sum(nil), err
}
