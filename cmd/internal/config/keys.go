package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	leastKey    = 32 // bytes of a key
	maxKeyFile  = 64 << 10
	keyFileHint = "write a line such as `openssl rand -base64 32` prints"
)

// ReadKeys reads a file of keys, a line each; empty lines and those that begin with # are passed over. The first key signs, all are believed, so that
// keys can be changed host by host. Errors name the file and the remedy: one that others may read or write, a key that is too short, no key at all.
func ReadKeys(file string) ([][]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", file)
	}
	if info.Mode().Perm()&0o027 != 0 {
		return nil, fmt.Errorf("%s: others may read or write it (mode %04o): chmod 0640, or less", file, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", file, maxKeyFile)
	}
	var keys [][]byte
	for n, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0 || line[0] == '#':
		case len(line) < leastKey:
			return nil, fmt.Errorf("%s:%d: a key of %d bytes, want %d at least: %s", file, n+1, len(line), leastKey, keyFileHint)
		default:
			keys = append(keys, line)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New(file + ": no key: " + keyFileHint)
	}
	return keys, nil
}
