package bench

import (
	"fmt"
	"image/color"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/virtsentry/virtsentry/cmd/internal/price"
	"github.com/virtsentry/virtsentry/model/cost"
	"github.com/virtsentry/virtsentry/model/evaluation"
)

// CostPage is how well costs are predicted from observations that were kept.
type CostPage struct {
	observed    cost.Observations
	calibration *cost.Calibration
	table       cost.Table
}

// ReadCost reads observations, fits to those that are not held out, and predicts the others.
func ReadCost(file string) (*CostPage, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	c := new(CostPage)
	if c.observed, err = cost.ReadObservations(f); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if c.calibration, err = cost.Fit(price.Scheme(), c.observed); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	_, held := c.observed.Split()
	if c.table, err = cost.Evaluate(c.calibration, held); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// Fill replaces the tables of the page.
func (c *CostPage) Fill(page string) (string, error) {
	return evaluation.Fill(page, map[string]string{"bars": c.bars(), "coefficients": c.fitted(), "held": c.heldOut(), "apart": c.apart(), "without": c.without()})
}

func (c *CostPage) bars() string {
	var b strings.Builder
	fit, held := c.observed.Split()
	fmt.Fprintf(&b, "%s; begun %s. %d observations to fit to, with %s; %d held out, with %s. `virtsentry-lab cost calibrate`.\n\n",
		c.observed.Origin, c.observed.Begin.Format("2006-01-02"), len(fit), works(fit), len(held), works(held))
	fmt.Fprintf(&b, "Standard errors of the overheads that were observed: %s to fit to, %s held out.\n\n", precision(fit), precision(held))
	b.WriteString("| what | must be | was | holds |\n|---|---|---|---|\n")
	bars, _ := c.table.Holds()
	for _, bar := range bars {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", bar.What, bar.Want, bar.Seen, yesNo(bar.Holds))
	}
	return b.String()
}

// works are the sorts of work of observations.
func works(list []cost.Observation) string {
	names := make(map[string]bool)
	for _, x := range list {
		names[x.Workload] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), ", ")
}

// precision is the median of standard errors, and the largest.
func precision(list []cost.Observation) string {
	var errs []float64
	for _, x := range list {
		errs = append(errs, 100*x.Error)
	}
	if len(errs) == 0 {
		return "none"
	}
	return fmt.Sprintf("%.1f points (at most %.1f)", middle(errs), slices.Max(errs))
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// fitted has coefficients in microseconds for each event, or in percent of all time.
func (c *CostPage) fitted() string {
	perEvent := make(map[string]bool)
	for _, t := range c.calibration.Scheme() {
		perEvent[t.Coefficient] = t.Kind != ""
	}
	var b strings.Builder
	b.WriteString("| coefficient | value | interval of 90 % |\n|---|---|---|\n")
	for _, k := range c.calibration.Coefficients() {
		scale, unit := 100.0, "% of the time"
		if perEvent[k.Name] {
			scale, unit = 1e6, "µs for each"
		}
		if !k.Known {
			fmt.Fprintf(&b, "| %s | not measured | |\n", k.Name)
			continue
		}
		fmt.Fprintf(&b, "| %s | %.2f %s | %.2f to %.2f |\n", k.Name, scale*k.Value, unit, scale*k.Low, scale*k.High)
	}
	return b.String()
}

func (c *CostPage) heldOut() string { return costRows(c.table) }

func costRows(t cost.Table) string {
	var b strings.Builder
	b.WriteString("| work | sources | measured, % | predicted, % (90 % interval) | inside |\n|---|---|---|---|---|\n")
	for _, r := range t.Rows {
		fmt.Fprintf(&b, "| %s | %s | %.1f | %.1f (%.1f to %.1f) | %s |\n",
			r.Workload, strings.Join(r.Sources, ", "), 100*r.Measured, 100*r.Predicted, 100*r.Low, 100*r.High, yesNo(r.Inside()))
	}
	return b.String()
}

// apart fits without each workload in turn, and predicts what is held out of that one.
func (c *CostPage) apart() string {
	var b strings.Builder
	b.WriteString("| work that was left out | held out | inside, % | median width, points | median error, points | holds |\n|---|---|---|---|---|---|\n")
	seen := make(map[string]bool)
	for _, x := range c.observed.List {
		if seen[x.Workload] {
			continue
		}
		seen[x.Workload] = true
		t, err := c.fitWithout(x.Workload)
		if err != nil {
			fmt.Fprintf(&b, "| %s | | | | | %s |\n", x.Workload, err)
			continue
		}
		_, all := t.Holds()
		fmt.Fprintf(&b, "| %s | %d | %.0f | %.2f | %.2f | %s |\n", x.Workload, len(t.Rows), 100*t.Inside, 100*t.Width, 100*t.Error, yesNo(all))
	}
	return b.String()
}

// without says of which sources there are no observations, and why.
func (c *CostPage) without() string {
	if len(c.observed.Without) == 0 {
		return "These observations do not say.\n"
	}
	var b strings.Builder
	b.WriteString("| source | why |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(c.observed.Without)) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, c.observed.Without[name])
	}
	return b.String()
}

func (c *CostPage) fitWithout(workload string) (cost.Table, error) {
	rest := cost.Observations{}
	var held []cost.Observation
	for _, x := range c.observed.List {
		switch {
		case x.Workload != workload:
			rest.List = append(rest.List, x)
		case x.HeldOut:
			held = append(held, x)
		}
	}
	calibration, err := cost.Fit(price.Scheme(), rest)
	if err != nil {
		return cost.Table{}, err
	}
	return cost.Evaluate(calibration, held)
}

// shapes tell the sorts of work apart, beside colours.
var shapes = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.TriangleGlyph{}, draw.BoxGlyph{}, draw.CrossGlyph{}}

// Plot draws what was measured over what was predicted, with the intervals.
func (c *CostPage) Plot(figures string) error {
	p := plot.New()
	p.Title.Text = "Slow-down of held-out combinations: predicted, with its interval of 90 %, and measured"
	p.X.Label.Text, p.Y.Label.Text = "measured, %", "predicted, %"
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	byWork := make(map[string]plotter.XYs)
	var names []string
	var lines whiskers
	lines.colour = color.Gray{0x99}
	most := 0.0
	for _, r := range c.table.Rows {
		if byWork[r.Workload] == nil {
			names = append(names, r.Workload)
		}
		byWork[r.Workload] = append(byWork[r.Workload], plotter.XY{X: 100 * r.Measured, Y: 100 * r.Predicted})
		lines.of = append(lines.of, [3]float64{100 * r.Measured, 100 * r.Low, 100 * r.High})
		most = max(most, 100*r.Measured, 100*r.Predicted)
	}
	same, err := plotter.NewLine(plotter.XYs{{X: 0, Y: 0}, {X: most, Y: most}})
	if err != nil {
		return err
	}
	same.Color = color.Gray{0x66}
	same.Dashes = []vg.Length{vg.Points(3), vg.Points(3)}
	p.Add(lines, same)
	for i, name := range names {
		points, err := plotter.NewScatter(byWork[name])
		if err != nil {
			return err
		}
		points.Color, points.Shape, points.Radius = colours[(i+1)%len(colours)], shapes[i%len(shapes)], vg.Points(4)
		p.Add(points)
		p.Legend.Add(name, points)
	}
	if err := os.MkdirAll(figures, 0o755); err != nil {
		return err
	}
	if err := p.Save(20*vg.Centimeter, 14*vg.Centimeter, filepath.Join(figures, "cost.svg")); err != nil {
		return fmt.Errorf("draw costs: %w", err)
	}
	return nil
}
