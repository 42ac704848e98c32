#include "observerctl/ask/live.h"

#include "observerctl/ask/fetch.h"
#include "observerctl/cli/show.h"

#include <stdio.h>
#include <string.h>

/* A person waits with a finger on the key. */
enum { TIMEOUT_MS = 800 };

#define SUMMARY "/v1/observer/summary"
#define OPS "/v1/observer/ops?limit=1000"

/* Where names stand in an answer: the keys of `map` in `object`, or a member of each row of a list. */
typedef struct {
  const char *kind, *path;
  const char *object, *map;          /* NULL: it is a list */
  const char *list, *in;             /* `in` NULL: the member is the row's own */
  const char *name, *about, *about2; /* the member, and those that say what it is */
} place;

static const place places[] = {
    {"endpoint", SUMMARY, .object = "lifetime", .map = "by_endpoint"},
    {"source", SUMMARY, .object = "lifetime", .map = "by_source"},
    {"staffer-id", OPS, .list = "ops", .in = "op", .name = "staffer_id"},
    {"session-id", OPS, .list = "ops", .in = "op", .name = "session_id"},
    {"cycle-id", OPS, .list = "ops", .in = "op", .name = "cycle_id"},
    {"sig-hash", OPS, .list = "ops", .in = "op", .name = "sig_hash"},
    {"event-kind", OPS, .list = "ops", .in = "op", .name = "event_kind"},
    {"task-class", OPS, .list = "ops", .in = "op", .name = "task_class"},
    {"cluster", "/v1/observer/clusters?limit=100", .list = "clusters", .name = "id", .about = "state",
     .about2 = "template"},
    {"analysis", "/v1/observer/analyses?limit=20", .list = "analyses", .name = "id", .about = "cause"},
    {"playbook", "/v1/observer/playbooks?limit=100", .list = "playbooks", .name = "id", .about = "kind",
     .about2 = "text"},
    {"seq", "/v1/observer/ops?limit=20&success=false", .list = "ops", .name = "seq", .about = "endpoint",
     .about2 = "error"},
};

static const place *find(const char *kind) {
  for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
    if (strcmp(places[i].kind, kind) == 0) return &places[i];
  return NULL;
}

bool obs_live_has(const char *kind) {
  return find(kind) != NULL;
}

/* NULL: the object itself. */
static const cJSON *member(const cJSON *object, const char *name) {
  return name != NULL ? obs_show_member(object, name) : object;
}

/* A member of the row or, of a recorded op, of what was recorded; "": neither has it. */
static const char *text(const cJSON *row, const char *name) {
  if (name == NULL) return "";
  const char *own = obs_show_text(row, name);
  return *own != '\0' ? own : obs_show_text(obs_show_member(row, "op"), name);
}

/* The name that a row has, as text. */
static const char *name_of(const place *p, const cJSON *row, char number[24]) {
  const cJSON *own = member(member(row, p->in), p->name);
  const char *value = cJSON_GetStringValue(own);
  if (value != NULL || !cJSON_IsNumber(own)) return value != NULL ? value : "";
  snprintf(number, 24, "%.0f", cJSON_GetNumberValue(own));
  return number;
}

static bool came_before(const place *p, const cJSON *list, const cJSON *row, const char *name) {
  char number[24];
  const cJSON *other;
  cJSON_ArrayForEach(other, list) {
    if (other == row) return false;
    if (strcmp(name_of(p, other, number), name) == 0) return true;
  }
  return false;
}

void obs_live_list(const char *url, const char *kind, obs_live_name fn, void *arg) {
  char error[256], number[24], about[256];
  const place *p = find(kind);
  if (p == NULL) return;
  cJSON *answer = obs_fetch_json(url, p->path, TIMEOUT_MS, error, sizeof(error));
  const cJSON *row, *rows = p->map != NULL ? member(member(answer, p->object), p->map) : member(answer, p->list);
  cJSON_ArrayForEach(row, rows) {
    const char *name = p->map != NULL ? row->string : name_of(p, row, number);
    if (*name == '\0' || (p->map == NULL && came_before(p, rows, row, name))) continue;
    const char *first = text(row, p->about), *second = text(row, p->about2);
    snprintf(about, sizeof(about), "%s%s%s", first, *first != '\0' && *second != '\0' ? ": " : "", second);
    fn(arg, name, about);
  }
  cJSON_Delete(answer);
}
