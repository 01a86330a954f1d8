package evaluation

import (
	"fmt"
	"slices"

	"github.com/virtsentry/virtsentry/model"
)

// Transfer is how well guests of another kind are judged.
type Transfer struct {
	Guest, Set string
	Own        *model.Evaluation // learnt from the guest's own normal units
	Carried    *model.Evaluation // by the profile that was learnt on the plan's guest; nil without one
}

// transfer judges each guest by its own profile and by that of the plan's guest.
func (d *Data) transfer(r *Results) error {
	plan := d.recordings(SetDefault, "train")
	for _, g := range d.Guests {
		for _, set := range []string{SetDefault, "wide"} {
			have := hit(g.Sets[set])
			train, judge, attacks := have.of("normal"), have.of("normal2"), have.scenarios(attackNames...)
			if len(train) == 0 || len(judge) == 0 {
				continue
			}
			t := Transfer{Guest: g.Name, Set: set}
			var err error
			if t.Own, err = model.Evaluate(d.Engine, model.MethodDefault, train, judge, attacks, model.EvalOptions{}); err != nil {
				return fmt.Errorf("%s, set %s: %w", g.Name, set, err)
			}
			if set == SetDefault && len(plan) > 0 {
				normal := append(slices.Clone(train), judge...)
				if t.Carried, err = model.Evaluate(d.Engine, model.MethodDefault, plan, normal, attacks, model.EvalOptions{}); err != nil {
					return fmt.Errorf("%s, by the profile of another guest: %w", g.Name, err)
				}
			}
			r.Transfers = append(r.Transfers, t)
		}
	}
	return nil
}

// hit leaves out the columns that no recording has a hit in: they change nothing but the time it takes.
func hit(all Recordings) Recordings {
	seen := map[string]bool{}
	for _, r := range all {
		for _, u := range r.Units {
			for j, x := range u.Counts {
				if x > 0 {
					seen[r.Features[j]] = true
				}
			}
		}
	}
	kept := Recordings{}
	for name, r := range all {
		kept[name] = regroup(r, dropped(func(column string) bool { return !seen[column] }))
	}
	return kept
}
