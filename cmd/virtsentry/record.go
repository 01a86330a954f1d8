package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// What a recording may be, whatever the daemon sends.
const (
	maxRecorded      = 16 << 30 // bytes in all
	maxRecordedFiles = 4 << 20
	maxDepth         = 16
)

func recordCommand(client func() *control.Client) *cobra.Command {
	var dir, units string
	var length time.Duration
	c := &cobra.Command{
		Use:   "record DOMAIN --output DIR | --units FILE",
		Short: "Record a domain's trace, or its units, for a while",
		Long: "Record a domain's trace for a while, as CTF 1.8 that virtsentry replay and babeltrace2 read: a directory below DIR for every two seconds or\n" +
			"so. DIR must not be there, or be empty. The domain is watched meanwhile as ever. What was recorded when it is interrupted, or ends early,\n" +
			"stays.\n\n" +
			"With --units, what is kept are the units of two seconds, of whatever the domain is observed by, as a unit file that eval and replay read.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: domainNames(client, 1),
	}
	c.Flags().StringVarP(&dir, "output", "o", "", "`DIR` to write the trace to")
	c.Flags().StringVar(&units, "units", "", "`FILE` to write the units to, - for standard output")
	c.Flags().DurationVar(&length, "for", time.Minute, "so long, at most 24h")
	c.MarkFlagsOneRequired("output", "units")
	c.MarkFlagsMutuallyExclusive("output", "units")
	_ = c.MarkFlagDirname("output") // it fails only for a flag that does not exist
	c.RunE = func(c *cobra.Command, args []string) error {
		if units != "" {
			return recordUnits(c, client(), args[0], units, length)
		}
		made, err := prepare(dir)
		if err != nil {
			return err
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return fmt.Errorf("record: %w", err)
		}
		defer func() { _ = root.Close() }()
		got := unpacker{root: root}
		err = client().Record(c.Context(), args[0], length, got.unpack)
		if got.chunks == 0 {
			if made {
				err = errors.Join(err, os.Remove(dir))
			}
			return err
		}
		_, writeErr := fmt.Fprintf(c.OutOrStdout(), "%s: recorded in %d chunks: %s\n", oneLine(args[0]), got.chunks, dir)
		return errors.Join(err, writeErr)
	}
	return c
}

// prepare makes the directory, and says whether it did. One that holds anything is refused.
func prepare(dir string) (made bool, err error) {
	switch err = os.Mkdir(dir, 0o700); {
	case err == nil:
		return true, nil
	case !errors.Is(err, fs.ErrExist):
		return false, fmt.Errorf("record: %w", err)
	}
	entries, err := os.ReadDir(dir)
	switch {
	case err != nil:
		return false, fmt.Errorf("record: %w", err)
	case len(entries) > 0:
		return false, fmt.Errorf("record: %s is not empty (name a directory that is not there yet)", dir)
	}
	return false, nil
}

// unpacker writes a recording's archive below a directory. Nothing in it is believed: it may hold plain files within the directory only, each
// once, and no more than a recording may be.
type unpacker struct {
	root   *os.Root
	chunks int
	bytes  int64
	files  int
	chunk  string // the newest, of which not all may have come
}

// unpack unpacks until the archive's end. After an error, of the chunk that it was in nothing is left.
func (u *unpacker) unpack(r io.Reader) error {
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = u.file(header, archive)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("record: %w", err), u.discard())
		}
	}
}

func (u *unpacker) discard() error {
	if u.chunk == "" {
		return nil
	}
	u.chunks--
	return u.root.RemoveAll(u.chunk)
}

// sparse says whether a record makes a file larger than what the archive holds of it.
func sparse(record string) bool { return strings.HasPrefix(record, "GNU.sparse.") }

func (u *unpacker) file(h *tar.Header, content io.Reader) error {
	chunk, _, below := strings.Cut(h.Name, "/")
	switch {
	case h.Typeflag != tar.TypeReg, slices.ContainsFunc(slices.Collect(maps.Keys(h.PAXRecords)), sparse):
		return fmt.Errorf("the archive holds %.256q, which is no plain file", h.Name)
	case !below, !filepath.IsLocal(h.Name), path.Clean(h.Name) != h.Name, strings.Count(h.Name, "/") > maxDepth:
		return fmt.Errorf("the archive holds a file of the name %.256q", h.Name)
	case h.Size < 0, h.Size > maxRecorded-u.bytes, u.files >= maxRecordedFiles:
		return fmt.Errorf("the archive is too large: more than %d bytes or %d files", int64(maxRecorded), maxRecordedFiles)
	}
	u.files++
	u.bytes += h.Size
	if chunk != u.chunk {
		if err := u.root.Mkdir(chunk, 0o700); err != nil {
			return err
		}
		u.chunk = chunk
		u.chunks++
	}
	if err := u.root.MkdirAll(path.Dir(h.Name), 0o700); err != nil {
		return err
	}
	f, err := u.root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
