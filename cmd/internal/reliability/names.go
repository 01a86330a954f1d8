package reliability

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// checkNames finds files of results that are of no case: they would be kept for ever, and shown nowhere.
func checkNames(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reliability: results: %w", err)
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if _, known := ByID(id); !ok || !known && id != SoakName {
			err = errors.Join(err, fmt.Errorf("%s is the result of no case: remove it", filepath.Join(dir, e.Name())))
		}
	}
	return err
}
