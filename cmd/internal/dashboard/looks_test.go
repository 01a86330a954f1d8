package dashboard

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// ask asks for JSON.
func ask[T any](t *testing.T, h func(method, path, body string) (int, string), method, path, body string, want int) (v T) {
	t.Helper()
	status, text := h(method, path, body)
	if status != want {
		t.Fatalf("%s %s: %d %s, want %d", method, path, status, text, want)
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLooks(t *testing.T) {
	f := newFake(1)
	h := Handler(f, config.Dashboard{LocalChanges: true})
	var s session
	if err := json.Unmarshal(request(h, "GET", "/api/session", "").Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	by := func(method, path, body string) (int, string) {
		w := request(h, method, path, body, tokenHeader, s.Token, "Content-Type", "application/json")
		return w.Code, w.Body.String()
	}
	at := "/api/domains/" + f.domains[0].UUID
	type refusal struct{ Error string }

	o := ask[control.ActionOptions](t, by, "GET", at+"/actions", "", 200)
	if len(o.Options) != len(fakePrices) || o.Budget == nil || *o.Budget != fakeBudget || !o.Options[0].Price.Known || o.Options[3].WhyNot == "" {
		t.Errorf("%+v", o)
	}
	// A price is told without starting anything.
	before := len(f.looks)
	q := ask[control.Action](t, by, "GET", at+"/quote?action=kvm&action=syscalls&seconds=20", "", 200)
	if q.State != control.ActionAsked || !q.Price.Known || q.Price.Slowdown != 0.021+0.028 || q.Seconds != 20 {
		t.Errorf("%+v", q)
	}
	if q := ask[control.Action](t, by, "GET", at+"/quote?action=probes:all", "", 200); q.State != control.ActionRefused || !strings.Contains(q.Why, "its budget is 10.0 %") {
		t.Errorf("%+v", q)
	}
	for _, bad := range []string{"/quote?action=kvm&seconds=soon", "/quote?action=kvm&seconds=-1", "/quote"} {
		ask[refusal](t, by, "GET", at+bad, "", 409)
	}
	if len(f.looks) != before {
		t.Error("to ask for a price has started something")
	}
	a := ask[control.Action](t, by, "POST", at+"/actions", `{"actions":["kvm"],"seconds":20}`, 200)
	if a.State != control.ActionRunning || a.ID == "" {
		t.Errorf("%+v", a)
	}
	if list := ask[[]control.Action](t, by, "GET", "/api/actions", "", 200); len(list) != before+1 || list[0].ID != a.ID {
		t.Errorf("%+v", list)
	}
	if r := ask[refusal](t, by, "POST", at+"/actions", `{"actions":["probes:all"]}`, 409); !strings.Contains(r.Error, "13.1 % (9.2 to 19.0 %)") {
		t.Errorf("refused: %s", r.Error)
	}
	if r := ask[result](t, by, "POST", "/api/actions/"+a.ID+"/stop", `{}`, 200); r.Code != control.EndedStopped {
		t.Errorf("%+v", r)
	}
	// Nothing is started or stopped without the token.
	for _, path := range []string{at + "/actions", "/api/actions/" + a.ID + "/stop"} {
		if w := request(h, "POST", path, `{}`, "Content-Type", "application/json"); w.Code != 403 {
			t.Errorf("%s without a token: %d", path, w.Code)
		}
	}
	ask[refusal](t, by, "GET", "/api/actions/none", "", 404)
	ask[refusal](t, by, "POST", "/api/actions/none/stop", "{}", 404)
	ask[refusal](t, by, "GET", "/api/domains/none/actions", "", 404)
	ask[refusal](t, by, "GET", "/api/domains/none/quote?action=kvm", "", 404)
}

func TestLookResult(t *testing.T) {
	f := newFake(1)
	r, err := lookedAt(f, f.looks[0].ID)
	if err != nil || len(r.Rows) != 21 || r.Units != len(r.Line) || r.Totals != nil {
		t.Fatalf("%d rows, %d of %d units, %v", len(r.Rows), len(r.Line), r.Units, err)
	}
	for _, row := range r.Rows {
		sum := uint64(0)
		for _, v := range row.Values {
			sum += v
		}
		if len(row.Values) != len(r.Line) || sum != row.Hits {
			t.Errorf("%s: %d values, %d hits of %d", row.Feature, len(row.Values), sum, row.Hits)
		}
	}
	if r.Line[0].Counts != nil {
		t.Error("the counts are there twice")
	}
}

func TestTallyOf(t *testing.T) {
	for feature, want := range map[string]string{
		"syscalls:vcpu:ioctl":            "syscalls 16 ioctl vcpu",
		"syscalls:worker:other":          "syscalls - other worker",
		"guest-syscalls:vcpu1:openat":    "guest-syscalls 257 openat vcpu1",
		"guest-syscalls:vcpu0:1000":      "guest-syscalls 1000 1000 vcpu0",
		"guest-syscalls:vcpu0:unknown":   "guest-syscalls - unknown vcpu0",
		"guest-syscalls:openat":          "guest-syscalls - guest-syscalls:openat ",
		"kvm:exit:hlt":                   "exits - hlt ",
		"kvm:exit":                       "kvm - exit ",
		"kvm:mmio:read":                  "kvm - mmio:read ",
		"kvm:page_fault":                 "kvm - page_fault ",
		"tap:received:len64-71":          "packets - len64-71 received",
		"functions:msix_notify":          "functions - msix_notify ",
		"functions:virtqueue_fill:taken": "functions - virtqueue_fill taken",
		"virtqueue_fill:net.rx:len64-71": "events - virtqueue_fill net.rx:len64-71",
		"others":                         "events - others ",
		"kvm:":                           "kvm - kvm: ",
		"":                               "events -  ",
	} {
		got := tallyOf(control.Tally{Feature: feature})
		number := "-"
		if got.Number != nil {
			number = fmt.Sprint(*got.Number)
		}
		if diff := cmp.Diff(want, fmt.Sprintf("%s %s %s %s", got.Kind, number, got.Name, got.Part)); diff != "" {
			t.Errorf("%q: %s", feature, diff)
		}
	}
}
