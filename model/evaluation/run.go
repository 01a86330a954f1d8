package evaluation

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// Results are what was found. What could not be done for want of recordings is empty.
type Results struct {
	Recordings   []Recorded
	Curves       []Curve
	Arms         []Arm
	Relearning   []Relearning
	FalseAlarms  []HeldOut
	Everyday     []EverydayResult
	Ablation     []Ablated
	Decisions    []Decision
	Transfers    []Transfer
	Explanations []Explanation
	Sources      []SourceArm
	SourcePrices []SourcePrice
}

// Run judges what there is, on all processors.
func Run(ctx context.Context, d *Data) (*Results, error) {
	r := &Results{Recordings: d.Plan}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	run := *d
	run.Engine = engine{ctx, d.Engine}
	if run.SimulatedDays == 0 {
		run.SimulatedDays = simulatedDays
	}
	// The longest first.
	for _, part := range []struct {
		name string
		do   func(*Data, *Results) error
	}{
		{"effectiveness and feasibility", (*Data).paper},
		{"ablation", (*Data).ablation},
		{"false alarms and decisions", (*Data).decisions},
		{"everyday", (*Data).everyday},
		{"relearning", (*Data).relearning},
		{"transfer", (*Data).transfer},
		{"explanations", (*Data).explanations},
		{"sources", (*Data).sources},
	} {
		group.Go(func() error {
			if err := part.do(&run, r); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return r, nil
}
