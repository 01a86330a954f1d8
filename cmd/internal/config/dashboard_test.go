package config

import (
	"strings"
	"testing"
)

func TestDashboardRefused(t *testing.T) {
	for key, complaint := range map[string]string{
		"listen = 'localhost:9890'":         `dashboard.listen: "localhost:9890" is neither`,
		"listen = '0.0.0.0:9890'":           "dashboard.listen, dashboard.web_config: other hosts can reach 0.0.0.0:9890",
		"listen = 'unix:dashboard.sock'":    `dashboard.listen: "unix:dashboard.sock": "dashboard.sock" is not`,
		"web_config = 'web.yml'":            `dashboard.web_config: "web.yml" is not an absolute path`,
		"hosts = ['https://kvm07.example']": `dashboard.hosts: "https://kvm07.example" is not a host's name`,
		"hosts = ['kvm07:9890']":            `dashboard.hosts: "kvm07:9890" is not a host's name`,
		"hosts = ['*']":                     `dashboard.hosts: "*" is not a host's name`,
		"hosts = ['']":                      `dashboard.hosts: "" is not a host's name`,
		"token = 'x'":                       "unknown key dashboard.token",
	} {
		if _, err := parse("[dashboard]\n" + key + "\n"); err == nil || !strings.Contains(err.Error(), "line 2: "+complaint) {
			t.Errorf("%s: %v; want a complaint with %q", key, err, complaint)
		}
	}
}

// Who cannot be told from others changes nothing, unless the operator says so.
func TestDashboardChanges(t *testing.T) {
	for want, list := range map[bool][]Dashboard{
		true:  {{Listen: "unix:/run/board.sock"}, {Listen: "127.0.0.1:9890", WebConfig: "/etc/web.yml"}, {Listen: "127.0.0.1:9890", LocalChanges: true}},
		false: {{Listen: "127.0.0.1:9890"}, {Listen: "[::1]:9890", Hosts: []string{"kvm07"}}},
	} {
		for _, d := range list {
			if got := d.Changes(); got != want || d.check() != nil {
				t.Errorf("%+v: changes %v, %v", d, got, d.check())
			}
		}
	}
}
