package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// daemon asks virtsentryd what it watches.
func (x *examination) daemon(ctx context.Context) {
	x.watched, x.asked = x.Asked.Domains(ctx)
	switch {
	case x.asked == nil:
		x.say(ok(Daemon, "answers on %s and watches %d %s", x.Socket, len(x.watched), plural(len(x.watched), "domain")))
		if i := slices.IndexFunc(x.watched, func(d control.DomainStatus) bool { return d.History != "" }); i >= 0 {
			x.say(bad(Daemon, Warning, "do what it says; until then incidents are kept in memory alone", "incidents are not written: %s", x.watched[i].History))
		}
		if i := slices.IndexFunc(x.watched, func(d control.DomainStatus) bool { return d.Aside != "" }); i >= 0 {
			x.say(bad(Daemon, Warning, "look whether sqlite3 FILE .recover saves what is needed, then remove the file", "the database of incidents was damaged, and a new one was begun; what the old one held is missing: %s", x.watched[i].Aside))
		}
	case errors.Is(x.asked, control.ErrDenied):
		x.say(bad(Daemon, Unknown, asRoot, "this user may not ask it: %s is for root and its own user", x.Socket))
	case errors.Is(x.asked, control.ErrNoDaemon):
		x.say(bad(Daemon, Problem, "start it (systemctl start virtsentryd; journalctl -u virtsentryd says why it ended), or give its control.socket with --socket", "nobody answers on %s", x.Socket))
	default:
		x.say(bad(Daemon, Unknown, "look into its log (journalctl -u virtsentryd), and start it again if it hangs (systemctl restart virtsentryd)", "it gave no answer on %s: %v", x.Socket, x.asked))
	}
}

// state tells what the daemon says of a domain.
func (x *examination) state(t target) {
	if x.asked != nil {
		return // it was said of the host
	}
	i := slices.IndexFunc(x.watched, func(d control.DomainStatus) bool { return d.UUID == t.UUID || t.UUID == "" && d.Name == t.Name })
	if i < 0 {
		x.say(bad(State, Problem, "name the libvirt that runs it in virtsentryd's configuration (libvirt.uri and libvirt.run_dir) and start virtsentryd again",
			"virtsentryd does not watch it"))
		return
	}
	d := x.watched[i]
	f := ok(State, "%s", said(d))
	switch d.State {
	case "blind":
		f.Status, f.Remedy = Problem, "do what is said of the problems above, then look again in half a minute: virtsentryd tries again by itself"
	case "unknown":
		f.Status, f.Remedy = Warning, "raise lttng.sub_buffers or lttng.sub_buffer_bytes in "+x.Config+", and start virtsentryd again"
	case "anomalous", "suspect":
		f.Status, f.Remedy = Warning, "virtsentry explain "+quoted(t.Name)+" says what is unusual; that is the guest's affair and no fault of the set-up"
	}
	x.say(f)
}

// said is the daemon's status of a domain in a sentence.
func said(d control.DomainStatus) string {
	parts := []string{d.State}
	if d.Reason != nil {
		parts[0] += " (" + d.Reason.Code + ": " + d.Reason.Text + ")"
	}
	parts = append(parts, "coverage "+d.Coverage)
	for _, u := range d.Unseen {
		parts = append(parts, fmt.Sprintf("not seen: %s %s (%s)", u.Kind, u.Name, u.Why))
	}
	if d.Missed > 0 {
		parts = append(parts, fmt.Sprintf("the first %.0f s were missed", d.Missed))
	}
	if l := d.Ledger; l.Life >= 1 {
		text := fmt.Sprintf("of %.0f s of its life %.0f s were scored", l.Life, l.Scored)
		for _, code := range slices.Sorted(maps.Keys(l.Reasons)) {
			text += fmt.Sprintf(", %.0f s not (%s)", l.Reasons[code], code)
		}
		parts = append(parts, text)
	}
	for _, incident := range d.Incidents {
		parts = append(parts, "open incident: "+incident.Text)
	}
	return "virtsentryd says: " + strings.Join(parts, "; ")
}
