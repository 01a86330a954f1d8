package model

import (
	"encoding/json"
	"fmt"
)

// columnwise are vectors of the same length that a profile file has column by column: what one column has in all of them is much alike, so that they
// take less room when they are compressed.
type columnwise [][]float64

// MarshalJSON writes the columns.
func (c columnwise) MarshalJSON() ([]byte, error) { return json.Marshal(transposed(c)) }

// UnmarshalJSON reads columns, which must be of the same length.
func (c *columnwise) UnmarshalJSON(data []byte) error {
	var columns [][]float64
	if err := json.Unmarshal(data, &columns); err != nil {
		return err
	}
	for j, column := range columns {
		if len(column) != len(columns[0]) {
			return fmt.Errorf("column %d has %d values, the first one %d", j, len(column), len(columns[0]))
		}
	}
	*c = transposed(columns)
	return nil
}

// transposed returns rows as columns. All are of one length.
func transposed(rows [][]float64) [][]float64 {
	if len(rows) == 0 {
		return nil
	}
	columns := make([][]float64, len(rows[0]))
	flat := make([]float64, len(rows)*len(rows[0]))
	for j := range columns {
		columns[j], flat = flat[:len(rows):len(rows)], flat[len(rows):]
		for i, row := range rows {
			columns[j][i] = row[j]
		}
	}
	return columns
}
