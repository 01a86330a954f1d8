package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/evaluation"
)

// errStale means that a page is not what the recordings give.
var errStale = errors.New("not what the recordings give")

// evaluationFlags are what evaluation is asked.
type evaluationFlags struct {
	page, check, results string
	engine               string
}

func evaluationCommand() *cobra.Command {
	var f evaluationFlags
	c := &cobra.Command{
		Use:    "evaluation DIR",
		Short:  "Run the paper's evaluation, and what goes beyond it, over recorded units",
		Hidden: true, // for those who work on virtsentry itself: model/EVALUATION.md
		Long: "DIR holds unit files, compressed (.csv.gz) or not:\n\n" +
			"  swing/NAME.csv                        by which the method's parameters were chosen: normal-1, normal-2, weak-ATTACK_SIDE\n" +
			"  evaluation/manifest.json, NAME/SET.csv  as virtsentry-lab evaluation records them\n" +
			"  everyday/everyday.csv, everyday.log   a server's normal days\n" +
			"  sources/QEMU/manifest.json, prices.json, NAME/SOURCE.csv  as virtsentry-lab sources records them, QEMU being ust or stock, and ust-again or stock-again for second recordings\n" +
			"  variants/GUEST/NAME.csv, NAME.SET.csv  guests of other kinds: normal, normal2, ATTACK_SIDE\n\n" +
			"What is missing is left out. The tables are written to standard output, or into the places that a page has for them.",
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&f.page, "page", "", "write the tables into `FILE`")
	c.Flags().StringVar(&f.check, "check", "", "fail if the tables of `FILE` are not these; write nothing")
	c.Flags().StringVar(&f.results, "results", "", "write what was found into `FILE`, as JSON")
	c.Flags().StringVar(&f.engine, "engine", "libsvm-go", "solver: "+strings.Join(engineNames(), ", "))
	c.MarkFlagsMutuallyExclusive("page", "check")
	c.RunE = func(c *cobra.Command, args []string) error {
		err := f.run(c.Context(), args[0], c.OutOrStdout())
		if err != nil && c.Context().Err() != nil {
			return errInterrupted
		}
		return err
	}
	return c
}

func (f *evaluationFlags) run(ctx context.Context, dir string, out io.Writer) error {
	solver, ok := engines[f.engine]
	if !ok {
		return fmt.Errorf("--engine %q: this program was built with %s", f.engine, strings.Join(engineNames(), ", "))
	}
	data, err := readEvaluation(dir)
	if err != nil {
		return err
	}
	data.Engine = solver
	results, err := evaluation.Run(ctx, data)
	if err != nil {
		return err
	}
	if f.results != "" {
		if err := unit.WriteFile(f.results, func(w io.Writer) error { return writeJSON(w, results) }); err != nil {
			return err
		}
	}
	tables := results.Tables()
	switch {
	case f.page != "":
		_, filled, err := fillPage(f.page, tables)
		if err != nil {
			return err
		}
		return unit.WriteFile(f.page, func(w io.Writer) error {
			_, err := io.WriteString(w, filled)
			return err
		})
	case f.check != "":
		page, filled, err := fillPage(f.check, tables)
		if err == nil && page != filled {
			return fmt.Errorf("%s: %w: run make evaluation", f.check, errStale)
		}
		return err
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(tables)
}

// fillPage reads a page and puts tables into it.
func fillPage(path string, tables map[string]string) (page, filled string, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	filled, err = evaluation.Fill(string(raw), tables)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", path, err)
	}
	return string(raw), filled, nil
}
