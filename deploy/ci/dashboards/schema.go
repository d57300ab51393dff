// Reads dashboards as strictly as Grafana's own schema has it: an unknown field, a missing field, a field of a wrong
// type, an unknown panel and a value that the schema does not allow are errors.
//
//	go run . DASHBOARD...
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

func main() {
	// The panels and the queries that dashboards here have. An unregistered panel would be read without a check.
	known := map[string]bool{"row": true, "stat": true, "timeseries": true}
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
	failed := false
	for _, path := range os.Args[1:] {
		if err := check(path, known); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func check(path string, known map[string]bool) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var read dashboard.Dashboard
	if err := told(read.UnmarshalJSONStrict(raw)); err != nil {
		return err
	}
	var plain struct {
		Panels []struct{ Type, Title string }
	}
	if err := json.Unmarshal(raw, &plain); err != nil {
		return err
	}
	for _, panel := range plain.Panels {
		if !known[panel.Type] {
			return fmt.Errorf("panel %q: its type %q is not checked; register it in schema.go", panel.Title, panel.Type)
		}
	}
	return told(read.Validate())
}

// The library's lists of errors are errors also if they are empty.
func told(err error) error {
	var all cog.BuildErrors
	if errors.As(err, &all) && len(all) == 0 {
		return nil
	}
	return err
}
