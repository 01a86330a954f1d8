package unit

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile calls write with what becomes the content of path. A regular file, or one
// that does not exist yet, is replaced at once when write has succeeded and stays as
// it was when it fails; a file that is replaced keeps its permissions. Anything else
// (/dev/null, a pipe, a terminal) is written directly.
func WriteFile(path string, write func(io.Writer) error) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return writeDirectly(path, write)
	case err == nil:
		// Through a symbolic link it is the file behind it that is replaced.
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return fmt.Errorf("write file: %w", err)
		}
		return replace(path, info, write)
	case errors.Is(err, fs.ErrNotExist):
		return replace(path, nil, write)
	}
	return fmt.Errorf("write file: %w", err)
}

func writeDirectly(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	err = write(f)
	if cerr := f.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("write file: %w", cerr)
	}
	return err
}

// replace writes a new file beside path and moves it there; old is the file there, nil
// if there is none.
func replace(path string, old fs.FileInfo, write func(io.Writer) error) (err error) {
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text())
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(name)
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if old != nil {
		if err := f.Chmod(old.Mode().Perm()); err != nil {
			return fmt.Errorf("write file: %w", err)
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	if err := os.Rename(name, path); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}
