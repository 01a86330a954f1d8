package compare
import ("testing";"os")
func TestX(t *testing.T) { if err := Run(os.Getenv("T"), os.Stdout); err != nil { t.Error(err) } }
