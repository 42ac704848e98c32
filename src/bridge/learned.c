/* GET analyses, playbooks and escalations, on the query thread; advice, at once. What they answer is made in learn/. */
#include "learn/learn.h"

#include "base/utf8.h"
#include "bridge/filter.h"
#include "bridge/handlers.h"
#include "learn/advice/advice.h"
#include "learn/analyses/analyses.h"
#include "learn/escalations/escalations.h"
#include "learn/playbooks/playbooks.h"

#include <inttypes.h>

/* ---- parameters: one table a route ---- */

typedef enum {
  PARAM_TEXT,   /* obs_str */
  PARAM_ID,     /* obs_str of 16 hex digits */
  PARAM_CHOICE, /* obs_str, one of those in `wrong` */
  PARAM_BOOL,   /* bool */
  PARAM_EITHER, /* int8_t, which is -1 when it is not given */
  PARAM_TIME,   /* int64_t */
  PARAM_LIMIT,  /* uint32_t */
  PARAM_CURSOR  /* uint64_t */
} param_kind;

typedef struct {
  const char *name;
  param_kind kind;
  size_t at;         /* in the filter */
  const char *wrong; /* of a choice: "must be one or another" */
} param;

#define AT(filter, member) offsetof(filter, member)

static const param analyses_params[] = {
    {"scope", PARAM_CHOICE, AT(obs_analyses_filter, scope), "must be cluster or fleet"},
    {"cluster", PARAM_ID, AT(obs_analyses_filter, cluster), NULL},
    {"endpoint", PARAM_TEXT, AT(obs_analyses_filter, endpoint), NULL},
    {"task_class", PARAM_TEXT, AT(obs_analyses_filter, task_class), NULL},
    {"backend", PARAM_CHOICE, AT(obs_analyses_filter, backend), "must be builtin, lakehouse or openai"},
    {"grounded", PARAM_EITHER, AT(obs_analyses_filter, grounded), NULL},
    {"since", PARAM_TIME, AT(obs_analyses_filter, since_ms), NULL},
    {"limit", PARAM_LIMIT, AT(obs_analyses_filter, limit), NULL},
    {"cursor", PARAM_CURSOR, AT(obs_analyses_filter, before), NULL},
};

static const param playbooks_params[] = {
    {"endpoint", PARAM_TEXT, AT(obs_playbooks_filter, endpoint), NULL},
    {"task_class", PARAM_TEXT, AT(obs_playbooks_filter, task_class), NULL},
    {"kind", PARAM_CHOICE, AT(obs_playbooks_filter, kind), "must be do or dont"},
    {"retired", PARAM_BOOL, AT(obs_playbooks_filter, retired), NULL},
    {"limit", PARAM_LIMIT, AT(obs_playbooks_filter, limit), NULL},
};

static const param escalations_params[] = {
    {"cluster", PARAM_ID, AT(obs_escalations_filter, cluster), NULL},
    {"limit", PARAM_LIMIT, AT(obs_escalations_filter, limit), NULL},
    {"cursor", PARAM_CURSOR, AT(obs_escalations_filter, before), NULL},
};

typedef struct {
  obs_str endpoint, task_class; /* p NULL: any */
} advice_question;

static const param advice_params[] = {
    {"endpoint", PARAM_TEXT, AT(advice_question, endpoint), NULL},
    {"task_class", PARAM_TEXT, AT(advice_question, task_class), NULL},
};

/* Whether `v` is one of the words behind "must be". */
static bool is_choice(const char *wrong, obs_str v) {
  for (const char *p = wrong + strlen("must be "); *p != '\0'; p += strspn(p, ", ")) {
    size_t n = strcspn(p, ", ");
    if (n == v.len && memcmp(p, v.p, n) == 0) return !obs_str_eq(v, OBS_STR("or"));
    p += n;
  }
  return false;
}

static const char *set_either(obs_str v, int8_t *out) {
  bool yes = false;
  const char *wrong = obs_param_bool(v, &yes);
  *out = (int8_t)yes;
  return wrong;
}

static const char *set_text(const param *p, obs_str v, obs_str *out) {
  uint64_t id;
  *out = v;
  if (p->kind == PARAM_ID && !obs_cluster_id_parse(v, &id)) return "must be the id of a cluster: 16 hex digits";
  if (p->kind == PARAM_CHOICE && !is_choice(p->wrong, v)) return p->wrong;
  return obs_utf8_valid(v.p, v.len) ? NULL : "must be valid UTF-8";
}

static const char *set_value(const param *p, obs_str v, void *at) {
  switch (p->kind) {
  case PARAM_BOOL:
    return obs_param_bool(v, at);
  case PARAM_EITHER:
    return set_either(v, at);
  case PARAM_TIME:
    return obs_param_time(v, at);
  case PARAM_LIMIT:
    return obs_param_limit(v, at);
  case PARAM_CURSOR:
    return obs_cursor_parse(v, at) ? NULL : "must be the `next` of an earlier answer";
  default:
    return set_text(p, v, at);
  }
}

typedef struct {
  const param *params;
  size_t n;
  void *filter;
} reading;

static const char *set_param(void *arg, obs_str name, obs_str value) {
  const reading *r = arg;
  for (size_t i = 0; i < r->n; i++) {
    const param *p = &r->params[i];
    if (strlen(p->name) == name.len && memcmp(p->name, name.p, name.len) == 0)
      return set_value(p, value, (char *)r->filter + p->at);
  }
  return "unknown parameter";
}

/* ---- what the routes share ---- */

static bool have_learn(obs_connection *s) {
  if (s->bridge->opts.learn != NULL) return true;
  obs_answer_error(&s->answer, &s->out, 503, "nothing is learned here");
  return false;
}

static void answer_no_memory(obs_connection *s) {
  obs_answer_error(&s->answer, &s->out, 503, "%s", observer_strerror(OBSERVER_E_NOMEM));
}

/* Reads the query into r->filter and has `answer` answer; the filter's texts live as long as the call. */
static void answer_query(obs_connection *s, reading *r, void (*answer)(obs_connection *s, const void *filter)) {
  char error[160];
  obs_query query;
  if (!have_learn(s)) return;
  if (obs_query_parse(&query, s->request.query, error, sizeof error) &&
      obs_params_take(&query, set_param, r, error, sizeof error))
    answer(s, r->filter);
  else
    obs_answer_error(&s->answer, &s->out, 400, "%s", error);
  obs_query_fini(&query);
}

/* Ends a page's answer. */
static void put_next(obs_connection *s, uint64_t next) {
  char cursor[OBS_CURSOR_LEN + 1];
  obs_cursor_format(next, cursor);
  obs_buf_printf(&s->out, next != 0 ? ",\"next\":\"%s\"}" : ",\"next\":null}", cursor);
}

/* ---- the routes ---- */

static void answer_analyses(obs_connection *s, const void *filter) {
  uint64_t next = 0;
  obs_buf_puts(&s->out, "{\"analyses\":");
  if (obs_analyses_page(obs_learn_loop(s->bridge->opts.learn, &obs_analyses_loop), filter, &s->out, &next) ==
      OBSERVER_E_OK)
    put_next(s, next);
  else
    answer_no_memory(s);
}

void obs_work_analyses(obs_connection *s, obs_batch *rows) {
  (void)rows;
  obs_analyses_filter filter = {.grounded = -1, .since_ms = INT64_MIN, .limit = OBS_OPS_LIMIT};
  reading r = {analyses_params, sizeof analyses_params / sizeof analyses_params[0], &filter};
  answer_query(s, &r, answer_analyses);
}

static bool parse_number(obs_str text, uint64_t *out) {
  *out = 0;
  if (text.len == 0 || text.len > 18) return false;
  for (uint32_t i = 0; i < text.len; i++) {
    if (text.p[i] < '0' || text.p[i] > '9') return false;
    *out = *out * 10 + (uint64_t)(text.p[i] - '0');
  }
  return *out > 0;
}

void obs_work_analysis(obs_connection *s, obs_batch *rows) {
  (void)rows;
  uint64_t number;
  if (!have_learn(s)) return;
  if (!parse_number(s->part, &number))
    obs_answer_error(&s->answer, &s->out, 400, "id: must be the number of an analysis");
  else if (!obs_analyses_one(obs_learn_loop(s->bridge->opts.learn, &obs_analyses_loop), number, &s->out))
    obs_answer_error(&s->answer, &s->out, 404, "no analysis %" PRIu64 ", or it is kept no longer", number);
}

static void answer_playbooks(obs_connection *s, const void *filter) {
  uint32_t total = 0;
  obs_buf_puts(&s->out, "{\"playbooks\":");
  if (obs_playbooks_list_json(obs_learn_loop(s->bridge->opts.learn, &obs_playbooks_loop), filter, &s->out, &total) ==
      OBSERVER_E_OK)
    obs_buf_printf(&s->out, ",\"total\":%" PRIu32 "}", total);
  else
    answer_no_memory(s);
}

void obs_work_playbooks(obs_connection *s, obs_batch *rows) {
  (void)rows;
  obs_playbooks_filter filter = {.limit = OBS_OPS_LIMIT};
  reading r = {playbooks_params, sizeof playbooks_params / sizeof playbooks_params[0], &filter};
  answer_query(s, &r, answer_playbooks);
}

void obs_work_playbook(obs_connection *s, obs_batch *rows) {
  (void)rows;
  uint64_t id;
  if (!have_learn(s)) return;
  if (!obs_cluster_id_parse(s->part, &id))
    obs_answer_error(&s->answer, &s->out, 400, "id: must be 16 hex digits");
  else if (!obs_playbooks_one_json(obs_learn_loop(s->bridge->opts.learn, &obs_playbooks_loop), id, &s->out))
    obs_answer_error(&s->answer, &s->out, 404, "no playbook entry %016" PRIx64, id);
}

static void answer_escalations(obs_connection *s, const void *filter) {
  uint64_t next = 0;
  obs_escalations *escalations = obs_learn_loop(s->bridge->opts.learn, &obs_escalations_loop);
  obs_buf_puts(&s->out, "{\"escalations\":");
  if (obs_escalations_page(escalations, filter, &s->out, &next) == OBSERVER_E_OK)
    put_next(s, next);
  else
    answer_no_memory(s);
}

void obs_work_escalations(obs_connection *s, obs_batch *rows) {
  (void)rows;
  obs_escalations_filter filter = {.limit = OBS_OPS_LIMIT};
  reading r = {escalations_params, sizeof escalations_params / sizeof escalations_params[0], &filter};
  answer_query(s, &r, answer_escalations);
}

static void answer_advice(obs_connection *s, const void *filter) {
  const advice_question *q = filter;
  obs_advice *advice = obs_learn_loop(s->bridge->opts.learn, &obs_advice_loop);
  if (q->endpoint.p == NULL && q->task_class.p == NULL)
    obs_answer_error(&s->answer, &s->out, 400, "advice: needs endpoint or task_class");
  else if (obs_advice_ask(advice, q->endpoint, q->task_class, OBS_ADVICE_JSON, &s->out) != OBSERVER_E_OK)
    answer_no_memory(s);
}

bool obs_handle_advice(obs_connection *s) {
  advice_question q = {0};
  reading r = {advice_params, sizeof advice_params / sizeof advice_params[0], &q};
  answer_query(s, &r, answer_advice);
  return true;
}
