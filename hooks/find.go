package hooks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// hook is an executable that may be run.
type hook struct {
	name string // of its directory entry
	path string // without symbolic links
}

// find lists the hooks of a directory in the order of their names, and an error for each entry that is refused. A directory that does not
// exist holds none.
func find(dir string) ([]hook, []error) {
	dir, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = trusted(dir)
	}
	if err != nil {
		return nil, []error{fmt.Errorf("directory of hooks is refused: %w", err)}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, []error{fmt.Errorf("read directory of hooks: %w", err)}
	}
	var hooks []hook
	var refused []error
	for _, e := range entries {
		if ignored(e.Name()) {
			continue
		}
		path, err := executable(filepath.Join(dir, e.Name()))
		if err != nil {
			refused = append(refused, fmt.Errorf("hook %s is refused: %w", e.Name(), err))
			continue
		}
		hooks = append(hooks, hook{e.Name(), path})
	}
	return hooks, refused
}

// ignored says whether a name is that of a file which editors or packages leave beside the one that is meant.
func ignored(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || strings.HasPrefix(name, "README") {
		return true
	}
	switch filepath.Ext(name) {
	case ".bak", ".disabled", ".dpkg-dist", ".dpkg-new", ".dpkg-old", ".dpkg-tmp", ".rpmnew", ".rpmorig", ".rpmsave", ".swp":
		return true
	}
	return false
}

// executable is the path of the file behind a directory entry, once nobody but root and the daemon's user can have a say in what it does.
func executable(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o111 == 0:
		return "", fmt.Errorf("%s is not executable (chmod 755 %[1]s)", path)
	}
	return path, trusted(path)
}

// trusted checks a path without symbolic links: it and all directories above it belong to root or to the daemon's user, and nobody else
// may write to them. A directory with the sticky bit, such as /tmp, may be written to: what others own there stays theirs.
func trusted(path string) error {
	for {
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		switch mode := info.Mode(); {
		case !ok:
			return fmt.Errorf("%s: its owner cannot be told", path)
		case stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
			return fmt.Errorf("%s belongs to user %d, neither root nor the daemon's user (chown root %[1]s)", path, stat.Uid)
		case mode.Perm()&0o022 != 0 && (!mode.IsDir() || mode&fs.ModeSticky == 0):
			return fmt.Errorf("%s may be written to by others: mode %04o (chmod go-w %[1]s)", path, mode.Perm())
		}
		parent := filepath.Dir(path)
		if parent == path {
			return nil
		}
		path = parent
	}
}
