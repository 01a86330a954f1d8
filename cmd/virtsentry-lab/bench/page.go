package bench

import (
	"errors"
	"fmt"

	"github.com/virtsentry/virtsentry/model/evaluation"
)

// Section writes what one benchmark found as Markdown, from its file in dir. Each benchmark has one, in the file of its name; ok is false where it was not kept.
type Section func(dir string) (text string, ok bool, err error)

// missing stands for a benchmark that was not kept.
const missing = "*Not measured.*"

// Fill replaces the tables of a page by those of the benchmarks in dir. A page has places for all of sections, as [evaluation.Fill] wants them.
func Fill(page, dir string, sections map[string]Section) (string, error) {
	tables := make(map[string]string, len(sections))
	var errs error
	for name, s := range sections {
		text, ok, err := s(dir)
		if !ok {
			text = missing
		}
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("benchmark %s: %w", name, err))
		}
		tables[name] = text
	}
	if errs != nil {
		return "", errs
	}
	return evaluation.Fill(page, tables)
}
