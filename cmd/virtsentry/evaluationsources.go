package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/model/evaluation"
)

// sourceLabs are those that recorded all sources, by their QEMU, in the order of the page; "again" is the second time, with other seeds.
var sourceLabs = []string{"ust", "stock", "ust-again", "stock-again"}

// readSources reads what virtsentry-lab sources has recorded in each lab, and what sources cost there.
func readSources(data *evaluation.Data, dir string) (err error) {
	data.OfHeaders = ofHeaders
	for _, name := range sourceLabs {
		l := evaluation.SourceLab{Name: name}
		if l.Plan, l.Sets, l.Costs, err = readPlan(filepath.Join(dir, name)); err != nil {
			return err
		}
		var prices struct {
			Format int                `json:"format"`
			Prices []evaluation.Price `json:"prices"`
		}
		if _, err := readFormat(filepath.Join(dir, name, "prices.json"), &prices, &prices.Format); err != nil {
			return err
		}
		for _, p := range prices.Prices {
			if err := p.Check(); err != nil {
				return err
			}
		}
		if l.Prices = prices.Prices; len(l.Plan)+len(l.Prices) > 0 {
			data.SourceLabs = append(data.SourceLabs, l)
		}
	}
	return nil
}

// ofHeaders says whether a column of the source tap is of what packets' headers tell.
func ofHeaders(column string) bool {
	prefix, name, _ := strings.Cut(column, ":")
	_, name, _ = strings.Cut(name, ":")
	return prefix == string(probe.Tap) && slices.Contains(probe.TapHeaders, name)
}
