// Package browser has the tests of the web page in Chromium, against the real
// programs of the simulated appliance: make web-test.
package browser
