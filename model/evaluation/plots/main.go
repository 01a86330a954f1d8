// Command plots draws the figures of model/EVALUATION.md from what virtsentry evaluation --results has written. It is a program of its own so that
// the operator's command does not carry fonts.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"

	"github.com/virtsentry/virtsentry/model/evaluation"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: plots RESULTS.json DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "plots:", err)
		os.Exit(1)
	}
}

func run(results, dir string) error {
	raw, err := os.ReadFile(results)
	if err != nil {
		return err
	}
	var r evaluation.Results
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("%s: %w", results, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		draw func(*evaluation.Results) (*plot.Plot, error)
	}{
		{"learning", learning},
		{"effectiveness-weak", effectiveness("weak")},
		{"effectiveness-strong", effectiveness("strong")},
		{"ablation", ablation},
	} {
		p, err := f.draw(&r)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if p == nil {
			continue // not recorded
		}
		for _, format := range []string{"svg", "png"} {
			if err := p.Save(24*vg.Centimeter, 12*vg.Centimeter, filepath.Join(dir, f.name+"."+format)); err != nil {
				return err
			}
		}
	}
	return nil
}
