// Package manual makes manual pages: of commands, from what they say of themselves, and of other things, from Markdown. Only tests and packaging use it.
package manual

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// source is what the foot of each page says.
const source = "virtsentry"

// Date is the date of all pages: SOURCE_DATE_EPOCH (reproducible-builds.org), or today.
func Date() time.Time {
	if seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(seconds, 0).UTC()
	}
	return time.Now().UTC()
}

// Page is a manual page. The Markdown's sections begin with ##; name is what NAME says after the title.
func Page(title string, section int, name, markdown string) []byte {
	head := fmt.Sprintf("%% %q %q %q %q %q\n\n## NAME\n\n%s - %s\n\n", strings.ToUpper(title), strconv.Itoa(section), Date().Format(time.DateOnly), source, "", title, name)
	return md2man.Render([]byte(head + markdown))
}

// Commands writes the pages of a command and all below it. more is Markdown that the page of the command itself ends with.
func Commands(dir string, section int, c *cobra.Command, more string) error {
	c.InitDefaultCompletionCmd()
	c.InitDefaultVersionFlag()
	c.DisableAutoGenTag = true
	date := Date()
	header := &doc.GenManHeader{Section: strconv.Itoa(section), Date: &date, Source: source}
	if err := doc.GenManTreeFromOpts(c, doc.GenManTreeOptions{Header: header, Path: dir, CommandSeparator: "-"}); err != nil {
		return fmt.Errorf("manual: pages of %s: %w", c.Name(), err)
	}
	if more == "" {
		return nil
	}
	path := filepath.Join(dir, fmt.Sprintf("%s.%d", c.Name(), section))
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	rest := md2man.Render([]byte("%\n\n" + more))
	if at := bytes.Index(rest, []byte(".SH")); at > 0 { // without a title of its own
		rest = rest[at:]
	}
	return os.WriteFile(path, append(page, rest...), 0o644) //nolint:gosec // a page is for all
}
