package config

import (
	"strings"
	"testing"
)

func TestMetricsListen(t *testing.T) {
	for listen, web := range map[string]string{
		"":                               "",
		"127.0.0.1:9889":                 "",
		"[::1]:9889":                     "",
		"unix:/run/virtsentry/metrics":   "",
		"192.0.2.1:9889":                 "/etc/virtsentry/web.yml",
		"[::]:9889":                      "/etc/virtsentry/web.yml",
		"127.0.0.2:65535":                "/etc/virtsentry/web.yml",
		"[::ffff:127.0.0.1]:9889":        "",
		"unix:/run/virtsentry/with:port": "/etc/virtsentry/web.yml",
	} {
		if p := (Metrics{Listen: listen, WebConfig: web}).check(); p != nil {
			t.Errorf("%q with %q: %v", listen, web, p)
		}
	}
}

func TestMetricsRefused(t *testing.T) {
	for key, complaint := range map[string]string{
		"listen = '127.0.0.1'":         `metrics.listen: "127.0.0.1" is neither`,
		"listen = '127.0.0.1:0'":       `metrics.listen: "127.0.0.1:0": there is no port 0`,
		"listen = ':9889'":             `metrics.listen: ":9889" is neither`,
		"listen = 'localhost:9889'":    `metrics.listen: "localhost:9889" is neither`,
		"listen = '0.0.0.0:9889'":      "metrics.listen, metrics.web_config: other hosts can reach 0.0.0.0:9889",
		"listen = '[::]:9889'":         "metrics.listen, metrics.web_config: other hosts can reach [::]:9889",
		"listen = 'unix:metrics.sock'": `metrics.listen: "unix:metrics.sock": "metrics.sock" is not`,
		"web_config = 'web.yml'":       `metrics.web_config: "web.yml" is not an absolute path`,
		"address = '127.0.0.1:9889'":   "unknown key metrics.address",
	} {
		if _, err := parse("[metrics]\n" + key + "\n"); err == nil || !strings.Contains(err.Error(), "line 2: "+complaint) {
			t.Errorf("%s: %v; want a complaint with %q", key, err, complaint)
		}
	}
}
