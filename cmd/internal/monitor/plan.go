package monitor

import (
	"fmt"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

// plan is how many units are gathered for a profile: as few as are configured, and more, half as many again each time, while they do not
// show that they are enough (model.Converge).
type plan struct {
	asked  int    // by an operator, who gets just as many; 0: as configured
	wanted int    // units; then it is looked whether they are enough
	most   int    // units that are gathered at most
	lossy  int    // units that could not be used, since the gathering began
	news   string // why fewer units were not enough; empty: it is not known yet that they are not
}

func newPlan(c config.Learning, asked int) plan {
	if asked > 0 {
		return plan{asked: asked, wanted: asked, most: asked}
	}
	return plan{wanted: c.Units, most: c.Most()}
}

// restart begins with no units again.
func (p *plan) restart(c config.Learning) { *p = newPlan(c, p.asked) }

// configure puts other numbers in force. The units that were gathered are kept.
func (p *plan) configure(old, now config.Learning) {
	if p.asked > 0 {
		return
	}
	p.most = now.Most()
	if p.wanted == old.Units {
		p.wanted = now.Units
	}
	p.wanted = min(max(p.wanted, now.Units), p.most)
}

// goOn says whether more units are to be gathered after this was found, and plans for them.
func (p *plan) goOn(found model.Convergence) bool {
	if found.Enough() || p.wanted >= p.most {
		return false
	}
	p.news = fmt.Sprintf("%d were not enough: %v", p.wanted, found)
	p.wanted = min(p.most, p.wanted*3/2)
	return true
}

// words say what is being done. They do not change with each unit, as each change is written into the domain's metadata.
func (p *plan) words() string {
	text := fmt.Sprintf("gathering %d units of two seconds for the first profile", p.wanted)
	if p.news != "" {
		text += "; " + p.news
	}
	return text
}

// progress is how far the gathering is with so many units.
func (p *plan) progress(units int) *control.Learning {
	left := float64(max(0, p.wanted-units)) * unit.Width.Seconds()
	if units > 0 {
		left *= float64(units+p.lossy) / float64(units)
	}
	return &control.Learning{Units: units, Wanted: p.wanted, Most: p.most, Seconds: left}
}
