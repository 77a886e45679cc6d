package golden

import (
	"os"
	"testing"
)

// Device names the GPU that tests run on: $DPO_ORT_TEST_DEVICE, such as cuda:0. Where it names none the test is skipped.
func Device(t testing.TB) string {
	t.Helper()
	name := os.Getenv("DPO_ORT_TEST_DEVICE")
	if name == "" {
		t.Skip("needs a GPU: DPO_ORT_TEST_DEVICE is not set (scripts/gpu-check sets it)")
	}
	return name
}
