package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const packaging = "../../../packaging/prometheus/"

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(packaging + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// library are the names of the metrics of Prometheus' own library, as this process shows them.
func library(t *testing.T) []string {
	t.Helper()
	families, err := New(&fake{}).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "virtsentry_") {
			list = append(list, f.GetName())
		}
	}
	return list
}

// promtool runs it in the directory of the rules.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("alert rules cannot be tested without promtool: packaging/install packaging/deps (Debian package prometheus)")
	}
	c := exec.CommandContext(t.Context(), tool, args...)
	c.Dir = packaging
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRules(t *testing.T) {
	promtool(t, "check", "rules", "virtsentry.rules.yml")
	promtool(t, "test", "rules", "virtsentry.rules_test.yml")
}

var (
	alert = regexp.MustCompile(`(?m)^ *- alert: (\w+)$`)
	rule  = regexp.MustCompile(`(?m)^ *expr: (?:\|\n((?: {10,}.*\n)+)|(.+)\n)`)
)

// Each rule asks for metrics that there are, and has a test in which it fires and one in which it does not.
func TestRulesAskForWhatThereIs(t *testing.T) {
	rules, tests := read(t, "virtsentry.rules.yml"), read(t, "virtsentry.rules_test.yml")
	alerts, exprs := alert.FindAllStringSubmatch(rules, -1), rule.FindAllStringSubmatch(rules, -1)
	if len(alerts) == 0 || len(alerts) != len(exprs) {
		t.Fatalf("%d alerts, %d expressions", len(alerts), len(exprs))
	}
	for i, a := range alerts {
		if err := checkQuery(exprs[i][1]+exprs[i][2], library(t)); err != nil {
			t.Errorf("%s: %v", a[1], err)
		}
		for _, expected := range []string{"exp_alerts: \\[\\]", "exp_alerts:\n"} {
			if !regexp.MustCompile(`alertname: ` + a[1] + `\n *` + expected).MatchString(tests) {
				t.Errorf("%s has no test with %q", a[1], expected)
			}
		}
	}
}

// dashboard is what a test looks at of Grafana's JSON model.
type dashboard struct {
	UID           string `json:"uid"`
	Title         string `json:"title"`
	SchemaVersion int    `json:"schemaVersion"`
	Annotations   struct {
		List []struct {
			Expr string `json:"expr"`
		} `json:"list"`
	} `json:"annotations"`
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Type       string `json:"type"`
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
	Panels []struct {
		ID      int    `json:"id"`
		Type    string `json:"type"`
		Title   string `json:"title"`
		GridPos struct{ X, Y, W, H int }
		Targets []struct {
			RefID      string `json:"refId"`
			Expr       string `json:"expr"`
			Legend     string `json:"legendFormat"`
			Datasource struct {
				Type string `json:"type"`
				UID  string `json:"uid"`
			} `json:"datasource"`
		} `json:"targets"`
	} `json:"panels"`
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, "grafana-dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// queries are all that the dashboard asks Prometheus for, with where it does.
func (d dashboard) queries(t *testing.T) map[string]string {
	t.Helper()
	list := map[string]string{}
	for _, a := range d.Annotations.List {
		list["annotations"] = a.Expr
	}
	values := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		m := values.FindStringSubmatch(v.Definition)
		if m == nil {
			t.Fatalf("variable %s: %q", v.Name, v.Definition)
		}
		list["variable "+v.Name] = fmt.Sprintf("count by (%s) (%s)", m[2], m[1])
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			list[p.Title+", "+q.RefID] = q.Expr
		}
	}
	return list
}

// plain is a query with values for what Grafana fills in.
func plain(expr string) string {
	return strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$domain", ".*").Replace(expr)
}

// Every query of the dashboard asks for metrics, labels and values that there are, and is PromQL.
func TestDashboardAsksForWhatThereIs(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for where, expr := range readDashboard(t).queries(t) {
		if err := checkQuery(expr, library(t)); err != nil {
			t.Errorf("%s: %v", where, err)
		}
		fmt.Fprintf(&rules, "      - { record: \"dashboard:query\", labels: { where: %q }, expr: %q }\n", where, plain(expr))
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}

// Every metric is to be seen on the dashboard.
func TestDashboardShowsAll(t *testing.T) {
	var all strings.Builder
	for _, expr := range readDashboard(t).queries(t) {
		all.WriteString(expr + "\n")
	}
	// When something was is in virtsentry status, and the size of a profile is nothing to watch.
	passed := []string{
		"virtsentry_domain_state_since_timestamp_seconds", "virtsentry_domain_last_unit_end_timestamp_seconds", "virtsentry_domain_profile_created_timestamp_seconds",
		"virtsentry_domain_profile_units", "virtsentry_domain_profile_support_vectors", "virtsentry_history_last_failure_timestamp_seconds",
	}
	for _, name := range names() {
		if !slices.Contains(passed, name) && !strings.Contains(all.String(), name) {
			t.Errorf("%s is nowhere on it", name)
		}
	}
}

// Grafana's own rules for a dashboard, as far as a broken one would be shown all the same.
func TestDashboardIsWellFormed(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 {
		t.Errorf("%+v", d)
	}
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if p.ID <= 0 || ids[p.ID] {
			t.Errorf("panel %q: the id %d is not its own", p.Title, p.ID)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.X < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("panel %q lies outside of the grid: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other, is := taken[[2]int{x, y}]; is {
					t.Fatalf("panel %q lies on %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("panel %q, a %s, has %d queries", p.Title, p.Type, len(p.Targets))
		}
		refs := map[string]bool{}
		for _, q := range p.Targets {
			if refs[q.RefID] || q.RefID == "" || q.Datasource.Type != "prometheus" || q.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q: query %+v", p.Title, q)
			}
			refs[q.RefID] = true
		}
	}
}
