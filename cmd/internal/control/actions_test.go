package control

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// actions is the backend's part that looks more closely: it knows one action, and notes what it was asked for.
type actions struct{ wanted string }

var closerLook = Action{
	ID: "q3x7m2kd", UUID: web.UUID, Name: web.Name, Actions: []string{"syscalls", "probes:all"}, State: ActionRunning, Asked: time.Unix(60, 0).UTC(),
	Started: time.Unix(61, 0).UTC(), Until: time.Unix(91, 0).UTC(), Seconds: 30, Wanted: 3600, Price: ActionPrice{Known: true, Slowdown: 0.03, Low: 0.02, High: 0.05},
	Measured: ActionPrice{Why: "nothing yet"}, Units: 1, Hits: 7, Totals: []Tally{{Feature: "syscalls:read", Words: "reads", Hits: 7}},
	Line: []ActionUnit{{Start: time.Unix(62, 0).UTC(), Duration: 2, Hits: 7, Top: []Tally{{Feature: "syscalls:read", Hits: 7}}, State: "normal", Judged: true, Score: 1, PValue: 0.5}},
}

func (a *actions) ActionOptions(_ context.Context, ref string) (ActionOptions, error) {
	if ref != web.Name && ref != web.UUID {
		return ActionOptions{}, fmt.Errorf("%s: %w", ref, ErrNoDomain)
	}
	budget := 0.1
	return ActionOptions{UUID: web.UUID, Name: web.Name, Budget: &budget, Usual: 30, Longest: 600, Options: []ActionOption{
		{Name: "kvm", Words: "exits", WhyNot: "no tracefs"}, {Name: "syscalls", Words: "system calls", Running: closerLook.ID, Price: closerLook.Price},
	}}, nil
}

func (a *actions) StartAction(_ context.Context, ref string, request ActionRequest) (Action, error) {
	a.wanted = fmt.Sprint(ref, request.Actions, request.Seconds)
	if request.Seconds == 1 {
		return Action{}, fmt.Errorf("%w: it costs 12.0 %%", ErrRefused)
	}
	return closerLook, nil
}

func (a *actions) ListActions() []Action {
	brief := closerLook
	brief.Totals, brief.Line = nil, nil
	return []Action{brief}
}

func (a *actions) Action(id string) (Action, error) {
	switch id {
	case closerLook.ID:
		return closerLook, nil
	case "q":
		return Action{}, fmt.Errorf("%w: the ids of several begin so", ErrRefused)
	}
	return Action{}, fmt.Errorf("%w %q is known", ErrNoAction, id)
}

func (a *actions) ActionUnits(id string) ([]ActionUnit, error) {
	_, err := a.Action(id)
	return closerLook.Line, err
}

func (a *actions) StopAction(_ context.Context, id string) (Action, error) {
	a.wanted = "stop " + id
	return a.Action(id)
}

func TestActions(t *testing.T) {
	b, c, end := serve(t)
	defer end()
	ctx := t.Context()
	want, _ := b.ActionOptions(ctx, web.Name)
	if got, err := c.ActionOptions(ctx, web.Name); err != nil || !cmp.Equal(want, got) {
		t.Errorf("ActionOptions: %v\n%s", err, cmp.Diff(want, got))
	}
	if _, err := c.ActionOptions(ctx, "no-such"); !errors.Is(err, ErrNoDomain) {
		t.Errorf("ActionOptions of none = %v", err)
	}
	got, err := c.StartAction(ctx, web.Name, ActionRequest{Actions: []string{"a", "b"}, Seconds: 30})
	if diff := cmp.Diff(closerLook, got); err != nil || diff != "" || b.wanted != web.Name+"[a b] 30" {
		t.Errorf("StartAction = %v, asked for %s\n%s", err, b.wanted, diff)
	}
	if _, err := c.StartAction(ctx, web.Name, ActionRequest{Seconds: 1}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "12.0 %") {
		t.Errorf("StartAction = %v; want that it is refused, with the figures", err)
	}
	if _, err := c.StartAction(ctx, web.Name, ActionRequest{Seconds: math.NaN()}); err == nil {
		t.Error("an action of NaN seconds is sent")
	}
	if list, err := c.ListActions(ctx); err != nil || len(list) != 1 || list[0].ID != closerLook.ID || list[0].Line != nil {
		t.Errorf("ListActions = %+v, %v", list, err)
	}
	if a, err := c.Action(ctx, closerLook.ID); err != nil || !cmp.Equal(closerLook, a) {
		t.Errorf("Action: %v\n%s", err, cmp.Diff(closerLook, a))
	}
	if units, err := c.ActionUnits(ctx, closerLook.ID); err != nil || !cmp.Equal(closerLook.Line, units) {
		t.Errorf("ActionUnits = %+v, %v", units, err)
	}
	if _, err := c.StopAction(ctx, closerLook.ID); err != nil || b.wanted != "stop "+closerLook.ID {
		t.Errorf("StopAction = %v, asked for %s", err, b.wanted)
	}
	for _, id := range []string{"zzz", "", "..", "a/b", "%"} {
		if _, err := c.Action(ctx, id); !errors.Is(err, ErrNoAction) {
			t.Errorf("Action %q = %v; want ErrNoAction", id, err)
		}
	}
	if _, err := c.StopAction(ctx, "q"); !errors.Is(err, ErrRefused) {
		t.Errorf("StopAction of several = %v", err)
	}
	if a := closerLook; a.Over() || !(Action{State: ActionRefused}).Over() || !(Action{State: ActionEnded}).Over() {
		t.Error("Over")
	}
}
