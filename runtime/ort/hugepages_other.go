//go:build unix && !linux

package ort

func adviseHugePages([]byte) {}
