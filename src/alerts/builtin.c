/* The shipped rules. Each is to wake somebody for the right reason or not at all: proto/alerts.md says of each why it
 * stays silent in a healthy fleet, and tests/unit/test_alerts_fleet.c shows it. */
#include "alerts/rules.h"

const char obs_rules_builtin[] =
    "{\"rules\":["
    "{\"id\":\"failing\",\"on\":\"rate\",\"of\":[{\"FieldEquals\":{\"field\":\"success\",\"value\":false}}],"
    "\"by\":[\"endpoint\"],\"above\":0.2,\"clear_below\":0.1,\"confidence\":0.999,\"min_ops\":30,\"within\":\"5m\","
    "\"clear_within\":\"1m\",\"for\":\"30s\",\"keep\":\"15s\",\"severity\":\"page\"},"
    "{\"id\":\"new-kind\",\"on\":\"cluster\",\"states\":[\"new\",\"regressed\"],\"at_least\":20,\"above\":0.05,"
    "\"within\":\"10m\",\"for\":\"2m\",\"keep\":\"5m\",\"severity\":\"warn\"},"
    "{\"id\":\"silent\",\"on\":\"absence\",\"by\":[\"source\"],\"learned\":true,\"for\":\"15m\",\"keep\":\"5m\","
    "\"severity\":\"warn\"},"
    "{\"id\":\"slow\",\"on\":\"rate\",\"slower\":{\"times\":2,\"by_ms\":50},\"by\":[\"endpoint\"],\"above\":0.5,"
    "\"clear_below\":0.25,\"min_ops\":30,\"within\":\"5m\",\"clear_within\":\"1m\",\"for\":\"1m\",\"keep\":\"2m\","
    "\"severity\":\"warn\"},"
    "{\"id\":\"conservation\",\"on\":\"self\",\"check\":\"conservation\",\"for\":\"1m\",\"keep\":\"30s\","
    "\"severity\":\"page\"},"
    "{\"id\":\"not-recording\",\"on\":\"self\",\"check\":\"recording\",\"for\":\"30s\",\"keep\":\"30s\","
    "\"severity\":\"page\"}"
    "]}";
