package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// imageFiles are what a guest image's directory holds.
var imageFiles = []string{"root.qcow2", "vmlinuz", "initrd.img"}

// findCheckout looks for the source tree from dir upwards.
func findCheckout(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find checkout: %w", err)
	}
	for d := dir; ; d = filepath.Dir(d) {
		if isFile(filepath.Join(d, "packaging", "lab", "image", "build")) {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("find checkout: no packaging/lab/image/build in %s or above; name the source tree, or a QEMU and an image", dir)
		}
	}
}

// buildRecipe runs a recipe of the checkout, a command line. The last line of its standard
// output is the path of what it made or found in its cache; its progress on
// standard error passes through, so that a terminal sees it.
func (l *Lab) buildRecipe(ctx context.Context, checkout string, recipe ...string) (string, error) {
	if checkout == "" {
		var err error
		if checkout, err = findCheckout("."); err != nil {
			return "", err
		}
	}
	script := filepath.Join(checkout, filepath.FromSlash(recipe[0]))
	what := strings.Join(recipe, " ")
	l.log.Infof("making what %s makes, or finding it in the cache (the first time takes minutes)", what)
	cmd := exec.CommandContext(ctx, script, recipe[1:]...)
	cmd.Stderr = os.Stderr
	ownGroup(cmd)
	var last string
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return "", fmt.Errorf("run %s: %w", what, err)
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("run %s: %w", what, err)
	}
	for sc := bufio.NewScanner(pipe); sc.Scan(); {
		if text := strings.TrimSpace(sc.Text()); text != "" {
			last = text
		}
	}
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("run %s: %w", what, err)
	}
	if !filepath.IsAbs(last) {
		return "", fmt.Errorf("run %s: its last line is %q, want a path", what, last)
	}
	return last, nil
}

// resolveParts finds or builds the QEMU and the image that cfg wants.
func (l *Lab) resolveParts(ctx context.Context, cfg *Config) (err error) {
	switch cfg.QEMU {
	case "":
		cfg.QEMU, err = l.buildRecipe(ctx, cfg.Checkout, "packaging/qemu/build")
	case StockQEMU:
		cfg.QEMU, err = findStock()
	}
	if err != nil {
		return err
	}
	if !isFile(cfg.QEMU) {
		return fmt.Errorf("find QEMU: %s is no file", cfg.QEMU)
	}
	if cfg.Image == "" {
		v, err := variantOf(cfg.Variant)
		if err != nil {
			return err
		}
		if cfg.Image, err = l.buildRecipe(ctx, cfg.Checkout, v.recipe()...); err != nil {
			return err
		}
	}
	for _, f := range imageFiles {
		if !isFile(filepath.Join(cfg.Image, f)) {
			return fmt.Errorf("find guest image: no %s in %s", f, cfg.Image)
		}
	}
	return nil
}

// makeDiskDir makes the directory for disks, and refuses one that somebody
// else has put in its place: /var/tmp is everybody's.
func (l *Lab) makeDiskDir() error {
	dir := l.diskDir()
	if err := os.Mkdir(dir, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make directory for disks: %w", err)
	}
	if err := ownedByUs(dir); err != nil {
		return fmt.Errorf("make directory for disks: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // whatever the umask
		return fmt.Errorf("make directory for disks: %w", err)
	}
	return nil
}

func ownedByUs(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not a directory of ours", dir)
	}
	return nil
}

// stageQEMU returns a path under which the guests' user can run the binary:
// the given one, or a link or copy of it among the lab's disks when
// directories above it are closed, as a root user's cache is.
func (l *Lab) stageQEMU(bin string) (string, error) {
	bin, err := filepath.EvalSymlinks(bin)
	if err != nil {
		return "", fmt.Errorf("stage QEMU: %w", err)
	}
	if reachable(bin, 0o005) {
		return bin, nil
	}
	dir := filepath.Join(l.diskDir(), "qemu")
	target := filepath.Join(dir, "bin", filepath.Base(bin))
	if err := mkdir(filepath.Dir(target), 0o755); err != nil {
		return "", fmt.Errorf("stage QEMU: %w", err)
	}
	if err := linkOrCopy(bin, target, 0o755); err != nil {
		return "", fmt.Errorf("stage QEMU: %w", err)
	}
	// A QEMU with its own firmware finds it relative to its binary.
	share := filepath.Join(filepath.Dir(filepath.Dir(bin)), "share", "qemu")
	if info, err := os.Stat(share); err == nil && info.IsDir() && filepath.Base(filepath.Dir(bin)) == "bin" {
		if err := linkTree(share, filepath.Join(dir, "share", "qemu")); err != nil {
			return "", fmt.Errorf("stage QEMU: %w", err)
		}
	}
	return target, nil
}

func linkTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return mkdir(filepath.Join(to, rel), 0o755)
		}
		if !isFile(path) {
			return nil
		}
		return linkOrCopy(path, filepath.Join(to, rel), 0o644)
	})
}

// stageImage puts the image where the guests' user can read it.
func (l *Lab) stageImage(dir string) error {
	for _, f := range imageFiles {
		if err := linkOrCopy(filepath.Join(dir, f), filepath.Join(l.diskDir(), f), 0o644); err != nil {
			return fmt.Errorf("stage guest image: %w", err)
		}
	}
	return nil
}

// linkOrCopy makes to the same as from: a hard link where that serves, for
// it costs nothing and keeps the file should the cache be cleaned, else a
// copy readable for all.
func linkOrCopy(from, to string, mode os.FileMode) error {
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if old, err := os.Stat(to); err == nil && os.SameFile(old, info) {
		return nil
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if info.Mode().Perm()&mode&0o005 == mode&0o005 && os.Link(from, to) == nil {
		return nil
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err = io.Copy(dst, src); err == nil {
		err = dst.Chmod(mode)
	}
	return errors.Join(err, dst.Close())
}

// reachable reports whether everybody has the wanted rights on path and may
// pass all directories above it.
func reachable(path string, want os.FileMode) bool {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&want != want {
		return false
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// ownGroup makes cmd the leader of a process group that ends as a whole:
// asked when the command's context ends, and killed if that does not help.
func ownGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGTERM) }
	cmd.WaitDelay = killDelay
}
