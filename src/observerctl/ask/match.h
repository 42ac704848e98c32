/* Which ops a command shows: the same filters as parameters of GET /v1/observer/ops and as a test of an op that came by
 * the feed. */
#ifndef OBS_OBSERVERCTL_MATCH_H
#define OBS_OBSERVERCTL_MATCH_H

#include "base/json_search.h"
#include "observerctl/cli/command.h"

#include <cjson/cJSON.h>

/* Entries of a command's flag table. */
#define OBS_FLAGS_MATCH                                                                                                \
  {"source", 0, "NAME", .help = "only ops of this source"},                                                            \
      {"endpoint", 'e', "NAME", .help = "only ops of this endpoint"}, {"success", .help = "only successes"},           \
      {"failed", 'f', .help = "only failures"},                                                                        \
      {"staffer-id", 0, "ID", .help = "only ops of this agent, person or model"},                                      \
      {"sig-hash", 0, "HASH", .help = "only ops of this situation"},                                                   \
      {"event-kind", 0, "KIND", .help = "only ops of this kind of event"},                                             \
      {"task-class", 0, "CLASS", .help = "only ops of this class of task"},                                            \
      {"session-id", 0, "ID", .help = "only ops of this session"},                                                     \
      {"op-id", 0, "ID", .help = "only ops with this op_id; two sources may use the same one"}, {                      \
    "q", 'q', "TEXT", .help = "only ops with this text in one of their values"                                         \
  }

enum { OBS_MATCH_TEXTS = 8 };

typedef struct {
  const char *texts[OBS_MATCH_TEXTS]; /* wanted, in the order of the table in match.c; NULL: any */
  const char *q;                      /* NULL: any */
  obs_json_search search;             /* for it */
  bool only_success, only_failed;
} obs_match;

/* False: wrong use, which was reported on stderr. */
bool obs_match_parse(obs_match *m, const obs_args *args);
/* Appends the filters to a path, as parameters. */
void obs_match_path(const obs_match *m, obs_buf *path);
const char *obs_match_source(const obs_match *m);
/* `row`: the op's JSON text, `op` the same parsed. */
bool obs_match_op(const obs_match *m, obs_str row, const cJSON *op);

#endif
