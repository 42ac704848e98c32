/* Tests of rules: ops at times, and the states that alerts must then have.
 *
 *   {"rules": [...], "builtin": false,
 *    "tests": [{"name": "fires after a minute",
 *      "ops": [{"at": "0s", "every": "1s", "times": 120, "op": {"endpoint": "/v1/chat", "success": false}}],
 *      "expect": [{"at": "30s", "rule": "failing", "state": "inactive"},
 *                 {"at": "90s", "rule": "failing", "group": {"endpoint": "/v1/chat"}, "state": "firing"}]}]}
 *
 * Rules stand in the file itself, or in another one that `rules_file` names, relative to it. A state is inactive,
 * pending, firing or recovering. Without `group` it is that of any group: firing, if one fires. */
#ifndef OBS_OBSERVERCTL_RULE_TEST_H
#define OBS_OBSERVERCTL_RULE_TEST_H

#include "base/buf.h"

typedef struct {
  unsigned tests, passed;
  obs_buf report; /* a line for each test, and one for each expectation that was not met */
} obs_rule_tests;

/* False: the file is none of tests, or no memory; `error` says why. Fini in either case. */
bool obs_rule_tests_run(const char *path, obs_rule_tests *out, obs_buf *error);
void obs_rule_tests_fini(obs_rule_tests *t);

#endif
