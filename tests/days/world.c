#include "world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTR_NAME(id, name, format) name,
const char *const days_attr_names[DAYS_ATTR_COUNT] = {DAYS_ATTRS(ATTR_NAME)};
#define ATTR_FORMAT(id, name, format) format,
static const char *const formats[DAYS_ATTR_COUNT] = {DAYS_ATTRS(ATTR_FORMAT)};
#define ERROR_TEXT(id, text, kind) text,
const char *const days_error_texts[DAYS_ERROR_COUNT] = {DAYS_ERRORS(ERROR_TEXT)};
#define ERROR_KIND(id, text, kind) OBS_ERROR_##kind,
const obs_error_kind days_error_kinds[DAYS_ERROR_COUNT] = {DAYS_ERRORS(ERROR_KIND)};

enum { PILOT = 6000, PENDING = 4096, BURST_MS = 40000 };
#define TURN 6.283185307179586

/* splitmix64: every bit of the state counts, so neighbouring seeds make different days. */
static uint64_t mixed(uint64_t x) {
  x += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

static double unit(uint64_t x) {
  return (double)(x >> 11) / 9007199254740992.0;
}

double days_uniform(days_world *w) {
  w->random += UINT64_C(0x9e3779b97f4a7c15);
  return unit(mixed(w->random));
}

double days_between(days_world *w, double low, double high) {
  return low + (high - low) * days_uniform(w);
}

int days_below(days_world *w, int n) {
  return (int)(days_uniform(w) * n);
}

static double normal_of(double u, double v) {
  return sqrt(-2 * log(u + 1e-12)) * cos(TURN * v);
}

static double normal(days_world *w) {
  double u = days_uniform(w);
  return normal_of(u, days_uniform(w));
}

/* A number of its own for each value: the same each time it is asked for. */
static uint64_t own(const days_world *w, days_attr attr, int32_t value) {
  return mixed(mixed(w->seed * 64 + (uint64_t)attr) + (uint64_t)value);
}

bool days_is_number(days_attr attr) {
  return formats[attr][0] == '\0';
}

void days_name(const days_world *w, days_attr attr, int32_t value, char out[DAYS_NAME]) {
  if (attr == DAYS_RESCUE)
    snprintf(out, DAYS_NAME, "%s", value ? "true" : "false");
  else if (days_is_number(attr))
    snprintf(out, DAYS_NAME, "%d", value);
  else if (w->names[attr] != NULL)
    snprintf(out, DAYS_NAME, "%s", w->names[attr][value]);
  else
    snprintf(out, DAYS_NAME, w->format[attr], value);
}

static bool meets(const days_cond *c, int32_t v) {
  if (c->relation == DAYS_IS_ABSENT) return v == DAYS_ABSENT;
  if (v == DAYS_ABSENT) return false;
  if (c->relation == DAYS_ABOVE) return v > c->number;
  if (c->relation == DAYS_AT_MOST) return v <= c->number;
  for (int i = 0; i < c->nvalues; i++)
    if (c->values[i] == v) return true;
  return false;
}

bool days_meets(const days_cond *conds, int nconds, const days_row *r) {
  for (int i = 0; i < nconds; i++)
    if (!meets(&conds[i], r->v[conds[i].attr])) return false;
  return true;
}

void days_world_init(days_world *w, uint64_t seed) {
  static const int sizes[DAYS_ATTR_COUNT] = {
      [DAYS_EVENT] = 6, [DAYS_ROLE] = 8,   [DAYS_CITY] = 24,  [DAYS_STATE] = 8,   [DAYS_SESSION] = 1, [DAYS_CYCLE] = 1,
      [DAYS_QUEUE] = 5, [DAYS_MODEL] = 4,  [DAYS_REGION] = 4, [DAYS_VERSION] = 3, [DAYS_RESCUE] = 2,  [DAYS_COUNT] = 12,
      [DAYS_TURNS] = 1, [DAYS_LENGTH] = 1, [DAYS_HOUR] = 24,  [DAYS_MINUTE] = 60};
  static const double spreads[DAYS_ATTR_COUNT] = {
      [DAYS_ENDPOINT] = 0.35, [DAYS_TASK] = 0.15, [DAYS_STAFFER] = 0.12, [DAYS_SOURCE] = 0.08,
      [DAYS_EVENT] = 0.1,     [DAYS_CITY] = 0.06, [DAYS_MODEL] = 0.06,   [DAYS_QUEUE] = 0.06};
  *w = (days_world){.seed = seed, .random = mixed(seed), .days = 1, .sampled = 1};
  memcpy(w->n, sizes, sizeof(sizes));
  memcpy(w->sd, spreads, sizeof(spreads));
  memcpy(w->format, formats, sizeof(formats));
  w->ops = 45000 + 5000 * days_below(w, 8);
  w->n[DAYS_ENDPOINT] = 9 + days_below(w, 8);
  w->n[DAYS_TASK] = 10 + days_below(w, 8);
  w->n[DAYS_STAFFER] = 20 + days_below(w, 20);
  w->n[DAYS_SOURCE] = 4 + days_below(w, 3);
  w->n[DAYS_SIG] = 12; /* of each task */
  w->base = days_between(w, 0.009, 0.018);
  w->rhythm_load = 0.4;
  w->rhythm_odds = 0.15;
}

void days_world_fini(days_world *w) {
  free(w->rows);
  w->rows = NULL;
}

/* Values that a row is drawn from; an attribute that is not used has one, which is taken away again. */
static int size(const days_world *w, days_attr attr) {
  return w->n[attr] > 0 ? w->n[attr] : 1;
}

/* Of n things, the first is the commonest; the last comes a quarter as often. */
static int common_first(days_world *w, int n) {
  double x = days_uniform(w);
  return (int)(n * x * (0.4 + 0.6 * x));
}

/* A staffer works in sessions of 60 to 100 ops. */
static int32_t session(days_world *w, int32_t staffer) {
  int at = staffer % 512;
  if (w->session_left[at]-- <= 0) {
    w->session_of[at] = w->sessions++;
    w->session_left[at] = 60 + days_below(w, 40);
  }
  return w->session_of[at];
}

/* Several cycles run beside each other. */
static int32_t cycle(days_world *w) {
  int lane = days_below(w, DAYS_LANES);
  if (w->lane_left[lane]-- <= 0) {
    w->lane_cycle[lane] = w->cycles++;
    w->lane_left[lane] = 500 + days_below(w, 400);
  }
  return w->lane_cycle[lane];
}

/* Four in five ops of an endpoint are done by its team, and are of its three tasks. */
static void draw_work(days_world *w, days_row *r) {
  int e = w->busy_minute && days_uniform(w) < 0.5 ? w->busy - 1 : common_first(w, size(w, DAYS_ENDPOINT));
  r->v[DAYS_ENDPOINT] = e;
  r->v[DAYS_STAFFER] =
      days_uniform(w) < 0.8 ? (e * 5 + days_below(w, 8)) % size(w, DAYS_STAFFER) : days_below(w, size(w, DAYS_STAFFER));
  r->v[DAYS_TASK] =
      days_uniform(w) < 0.8 ? (e * 4 + days_below(w, 3)) % size(w, DAYS_TASK) : days_below(w, size(w, DAYS_TASK));
  r->v[DAYS_SIG] = r->v[DAYS_TASK] * size(w, DAYS_SIG) + days_below(w, size(w, DAYS_SIG));
  r->v[DAYS_MODEL] = days_uniform(w) < 0.6
                         ? (int)(own(w, DAYS_MODEL, r->v[DAYS_STAFFER]) % (uint64_t)size(w, DAYS_MODEL))
                         : days_below(w, size(w, DAYS_MODEL));
}

static void draw_place(days_world *w, days_row *r) {
  r->v[DAYS_SOURCE] = days_below(w, size(w, DAYS_SOURCE));
  r->v[DAYS_EVENT] = common_first(w, size(w, DAYS_EVENT));
  r->v[DAYS_ROLE] = days_below(w, size(w, DAYS_ROLE));
  r->v[DAYS_CITY] = common_first(w, size(w, DAYS_CITY));
  r->v[DAYS_STATE] = r->v[DAYS_CITY] % size(w, DAYS_STATE);
  r->v[DAYS_QUEUE] = days_below(w, size(w, DAYS_QUEUE));
  r->v[DAYS_REGION] = common_first(w, size(w, DAYS_REGION));
  r->v[DAYS_VERSION] = days_below(w, size(w, DAYS_VERSION));
  r->v[DAYS_RESCUE] = days_uniform(w) < 0.2;
}

static void draw_numbers(days_world *w, days_row *r) {
  r->v[DAYS_COUNT] = 1 + days_below(w, size(w, DAYS_COUNT));
  r->v[DAYS_TURNS] = 1 + (int)(24 * days_uniform(w) * days_uniform(w));
  if (w->n[DAYS_TOKENS] > 0) r->v[DAYS_TOKENS] = 1 + days_below(w, w->n[DAYS_TOKENS]);
  r->v[DAYS_LENGTH] = (int32_t)fmin(9000, fmax(12, 180 * exp(0.9 * normal(w))));
}

/* Endpoints take from 60 ms to 700. */
static void draw_duration(days_world *w, days_row *r) {
  r->duration_ms =
      (int32_t)(60 * exp(2.5 * unit(own(w, DAYS_ENDPOINT, 1000 + r->v[DAYS_ENDPOINT]))) * exp(0.4 * normal(w)));
}

static void set_time(days_row *r, int64_t event_ms) {
  int64_t minutes = event_ms / 60000;
  r->event_ms = r->received_ms = r->stamp_ms = event_ms;
  r->v[DAYS_MINUTE] = (int32_t)(minutes % 60);
  r->v[DAYS_HOUR] = (int32_t)(minutes / 60 % 24);
}

static void draw(days_world *w, int64_t event_ms, days_row *r) {
  *r = (days_row){.kind = DAYS_OP};
  draw_work(w, r);
  draw_place(w, r);
  draw_numbers(w, r);
  r->v[DAYS_SESSION] = session(w, r->v[DAYS_STAFFER]);
  r->v[DAYS_CYCLE] = cycle(w);
  r->v[DAYS_TRACE] = (int32_t)w->nrows;
  for (int a = 0; a < DAYS_ATTR_COUNT; a++)
    if (w->n[a] == 0 || (w->absent[a] > 0 && days_uniform(w) < w->absent[a])) r->v[a] = DAYS_ABSENT;
  set_time(r, event_ms);
  if (w->shape != NULL) w->shape(w, r);
  draw_duration(w, r);
}

static double part_of(const days_world *w, int64_t event_ms) {
  return (double)(event_ms - DAYS_START) / (double)(w->days * DAYS_DAY_MS);
}

static double rhythm(int64_t event_ms) {
  return sin(TURN * ((double)((event_ms - DAYS_START) % DAYS_DAY_MS) / (double)DAYS_DAY_MS - 0.3));
}

/* A burst begins at a moment of its own. */
static bool in_burst(const days_world *w, int64_t event_ms) {
  for (int i = 0; i < w->bursts; i++) {
    int64_t at = DAYS_START + (int64_t)(unit(own(w, DAYS_TRACE, -1 - i)) * (double)(w->days * DAYS_DAY_MS));
    if (event_ms >= at && event_ms < at + BURST_MS) return true;
  }
  return false;
}

static double noise_odds(const days_world *w, const days_row *r) {
  double x = log(w->base / (1 - w->base)) + w->rhythm_odds * rhythm(r->event_ms);
  for (int a = 0; a < DAYS_ATTR_COUNT; a++) {
    if (w->sd[a] <= 0 || r->v[a] == DAYS_ABSENT) continue;
    uint64_t h = own(w, (days_attr)a, r->v[a]);
    x += w->sd[a] * fmax(-2, fmin(2, normal_of(unit(h), unit(mixed(h)))));
  }
  return 1 / (1 + exp(-x));
}

static void fail(days_world *w, days_row *r, days_error error) {
  r->error = (uint8_t)error;
  r->number = (uint16_t)days_below(w, 250);
  if (error == DAYS_ERROR_TIMEOUT) r->duration_ms = 30000 + days_below(w, 40);
  if (error == DAYS_ERROR_LIMIT || error == DAYS_ERROR_REFUSED) r->duration_ms = 1 + days_below(w, 6);
}

static void fail_by_noise(days_world *w, days_row *r) {
  static const days_error errors[] = {DAYS_ERROR_REFUSED, DAYS_ERROR_TIMEOUT, DAYS_ERROR_MISSING,
                                      DAYS_ERROR_SCHEMA,  DAYS_ERROR_PANIC,   DAYS_ERROR_BROKE};
  double p = noise_odds(w, r);
  if (w->bursts > 0 && in_burst(w, r->event_ms)) p = fmax(p, 0.2);
  if (w->base <= 0 || days_uniform(w) >= p) return;
  int usual = (int)(own(w, DAYS_ENDPOINT, 2000 + r->v[DAYS_ENDPOINT]) % 6);
  fail(w, r, errors[days_uniform(w) < 0.6 ? usual : days_below(w, 6)]);
}

static double rate_now(const days_plant *p, double part) {
  double until = p->until > 0 ? p->until : 1;
  if (p->corrected && part < p->from) return p->rate_before;
  if (part < p->from || part >= until) return 0;
  return p->grows ? p->rate * (part - p->from) / (until - p->from) : p->rate;
}

/* Of several causes that an op meets, the first that makes it fail is told in its error. */
static void fail_by_plants(days_world *w, days_row *r) {
  double part = part_of(w, r->event_ms);
  bool failed = false;
  for (int i = 0; i < w->nplants; i++) {
    const days_plant *p = &w->plants[i];
    double rate = rate_now(p, part);
    if (!days_meets(p->conds, p->nconds, r)) continue;
    if (p->slower > 0 && part >= p->from) r->duration_ms = (int32_t)(r->duration_ms * p->slower);
    bool fails = p->limit > 0 ? ++w->in_minute > p->limit : p->exactly == 0 && days_uniform(w) < rate;
    if (fails && !failed) fail(w, r, p->error);
    failed = failed || fails;
  }
}

static void outcome(days_world *w, days_row *r) {
  fail_by_noise(w, r);
  fail_by_plants(w, r);
  if (w->result != NULL) w->result(w, r);
}

static void reset(days_world *w, uint64_t random) {
  w->random = random;
  w->nrows = 0;
  w->sessions = w->cycles = 0;
  memset(w->session_left, 0, sizeof(w->session_left));
  memset(w->lane_left, 0, sizeof(w->lane_left));
  w->minute = -1;
  w->busy_minute = false;
}

/* Sessions and cycles begin from 0 in a pilot and go on in time: any of the first ones is as good as any other. */
static bool pick_run(days_world *w, days_attr attr, int32_t *value) {
  int runs = attr == DAYS_SESSION ? w->ops / 80 : w->ops / 700;
  *value = runs / 8 + days_below(w, runs * 3 / 4);
  return true;
}

static bool often_enough(const days_row *rows, const days_attr *attrs, int n, int pick, int least) {
  int together = 0, each[DAYS_CONDS] = {0};
  for (int i = 0; i < PILOT; i++) {
    int same = 0;
    for (int a = 0; a < n; a++) {
      if (rows[i].v[attrs[a]] != rows[pick].v[attrs[a]]) continue;
      same++;
      each[a]++;
    }
    together += same == n;
  }
  for (int a = 0; a < n && n > 1; a++)
    if (together * 2 > each[a]) return false;
  return together >= least && together * 5 < PILOT * 2;
}

bool days_pick(days_world *w, const days_attr *attrs, int n, int least, int32_t *values) {
  if (n == 1 && (attrs[0] == DAYS_SESSION || attrs[0] == DAYS_CYCLE)) return pick_run(w, attrs[0], values);
  days_row *rows = calloc(PILOT, sizeof(*rows));
  if (rows == NULL) return false;
  uint64_t random = w->random;
  for (int i = 0; i < PILOT; i++, w->nrows++) draw(w, DAYS_START + i * (w->days * DAYS_DAY_MS / PILOT), &rows[i]);
  reset(w, mixed(random));
  bool found = false;
  for (int tries = 0; tries < 2000 && !found; tries++) {
    int pick = days_below(w, PILOT);
    for (int a = 0; a < n; a++) values[a] = rows[pick].v[attrs[a]];
    found = often_enough(rows, attrs, n, pick, least * PILOT / w->ops + 1);
    for (int a = 0; a < n; a++) found = found && values[a] != DAYS_ABSENT;
  }
  free(rows);
  return found;
}

static days_row *add_row(days_world *w) {
  if (w->nrows == w->cap) {
    w->cap = w->cap ? w->cap * 2 : 1 << 16;
    w->rows = realloc(w->rows, w->cap * sizeof(*w->rows));
    if (w->rows == NULL) abort();
  }
  return &w->rows[w->nrows++];
}

/* Retries that are still to come, in no order: there are few. */
typedef struct {
  days_row row[PENDING];
  int n;
} pending;

static void keep(days_world *w, const days_row *r, pending *retries) {
  if (w->sampled < 1 && r->error == DAYS_ERROR_NONE && days_uniform(w) >= w->sampled) return;
  *add_row(w) = *r;
  if (r->error == DAYS_ERROR_NONE || retries->n == PENDING || days_uniform(w) >= w->retry) return;
  days_row *again = &retries->row[retries->n++];
  *again = *r;
  set_time(again, r->event_ms + 2000 + days_below(w, 28000));
  if (w->n[DAYS_TRACE] > 0) again->v[DAYS_TRACE] = (int32_t)w->nrows;
}

/* Tries again what is due: it fails as before with `stuck`, and like any other op else. */
static void retry_due(days_world *w, pending *retries, int64_t now_ms) {
  for (int i = 0; i < retries->n;) {
    if (retries->row[i].event_ms > now_ms) {
      i++;
      continue;
    }
    days_row r = retries->row[i];
    retries->row[i] = retries->row[--retries->n];
    days_error before = (days_error)r.error;
    if (w->handed_on) {
      r.v[DAYS_STAFFER] = days_below(w, w->n[DAYS_STAFFER]);
      r.v[DAYS_ENDPOINT] = days_below(w, w->n[DAYS_ENDPOINT]);
      r.v[DAYS_SESSION] = DAYS_ABSENT;
    }
    r.error = DAYS_ERROR_NONE;
    draw_duration(w, &r);
    if (days_uniform(w) < w->stuck)
      fail(w, &r, before);
    else
      outcome(w, &r);
    keep(w, &r, retries);
  }
}

static void begin_minute(days_world *w, int64_t event_ms) {
  if (event_ms / 60000 == w->minute) return;
  w->minute = event_ms / 60000;
  w->in_minute = 0;
  w->busy_minute = w->busy > 0 && days_uniform(w) < 0.08;
}

/* When op i of n is, with more load in busy hours: by Newton, the load's integral is i / n. */
static int64_t moment(const days_world *w, int i) {
  double want = (double)i / w->ops * w->days, at = want, k = w->rhythm_load / TURN;
  for (int step = 0; step < 6; step++) {
    double have = at - k * (cos(TURN * (at - 0.3)) - cos(TURN * 0.3));
    at += (want - have) / (1 + w->rhythm_load * sin(TURN * (at - 0.3)));
  }
  at = fmin(fmax(at, 0), w->days - 1e-7);
  return DAYS_START + (int64_t)(at * (double)DAYS_DAY_MS);
}

static void add_deploy(days_world *w, double part) {
  days_row *r = add_row(w);
  *r = (days_row){.kind = DAYS_DEPLOY, .duration_ms = 4000};
  for (int a = 0; a < DAYS_ATTR_COUNT; a++) r->v[a] = DAYS_ABSENT;
  set_time(r, DAYS_START + (int64_t)(part * (double)(w->days * DAYS_DAY_MS)));
}

static void add_correction(days_world *w, double part, int32_t sig) {
  add_deploy(w, part);
  days_row *r = &w->rows[w->nrows - 1];
  r->kind = DAYS_CORRECTION;
  r->v[DAYS_SIG] = sig;
  r->v[DAYS_TASK] = sig / size(w, DAYS_SIG);
}

static void add_changes(days_world *w) {
  for (int i = 0; i < w->nplants; i++) {
    const days_plant *p = &w->plants[i];
    if (p->deploy) add_deploy(w, p->from - days_between(w, 1, 4) / (1440.0 * w->days));
    if (p->corrected) add_correction(w, p->from, p->conds[0].values[0]);
    if (p->helped) add_correction(w, p->until, p->conds[0].values[0]);
  }
  for (int i = 0; i < w->chatter; i++) {
    add_deploy(w, days_uniform(w));
    add_correction(w, days_uniform(w), days_below(w, w->n[DAYS_TASK] * w->n[DAYS_SIG]));
  }
}

/* Exactly so many rows of a plant fail: each row that is left has the same chance. */
static void fail_exactly(days_world *w, const days_plant *p) {
  int rows = 0, left = p->exactly;
  for (uint32_t i = 0; i < w->nrows; i++)
    rows += w->rows[i].kind == DAYS_OP && days_meets(p->conds, p->nconds, &w->rows[i]);
  for (uint32_t i = 0; i < w->nrows && left > 0; i++) {
    if (w->rows[i].kind != DAYS_OP || !days_meets(p->conds, p->nconds, &w->rows[i])) continue;
    if (days_uniform(w) * rows-- >= left) continue;
    fail(w, &w->rows[i], p->error);
    left--;
  }
}

/* What the clocks and the way to the daemon do to a row. */
static void travel(days_world *w, days_row *r) {
  double part = part_of(w, r->event_ms);
  int64_t end = DAYS_START + w->days * DAYS_DAY_MS;
  if (w->late_at > 0 && part >= w->late_from && part < w->late_until && days_meets(&w->late, 1, r))
    r->received_ms =
        DAYS_START + (int64_t)(w->late_at * (double)(w->days * DAYS_DAY_MS)) + (r->event_ms - DAYS_START) / 1000;
  if (w->lastweek > 0 && r->kind == DAYS_OP && days_uniform(w) < w->lastweek) {
    r->received_ms = end + (r->event_ms - DAYS_START) / 100;
    r->event_ms -= 7 * DAYS_DAY_MS;
    r->stamp_ms = r->event_ms;
  }
  if (w->skew_ms != 0 && days_meets(&w->skewed, 1, r)) r->stamp_ms += w->skew_ms;
}

static int by_arrival(const void *a, const void *b) {
  const days_row *x = a, *y = b;
  if (x->received_ms != y->received_ms) return x->received_ms < y->received_ms ? -1 : 1;
  return x->made < y->made ? -1 : x->made > y->made;
}

void days_world_make(days_world *w) {
  pending *retries = calloc(1, sizeof(*retries));
  if (retries == NULL) abort();
  reset(w, mixed(w->random));
  for (int i = 0; i < w->ops; i++) {
    int64_t now = moment(w, i);
    days_row r;
    retry_due(w, retries, now);
    begin_minute(w, now);
    draw(w, now, &r);
    outcome(w, &r);
    keep(w, &r, retries);
  }
  free(retries);
  add_changes(w);
  for (int i = 0; i < w->nplants; i++)
    if (w->plants[i].exactly > 0) fail_exactly(w, &w->plants[i]);
  for (uint32_t i = 0; i < w->nrows; i++) {
    w->rows[i].made = i;
    travel(w, &w->rows[i]);
  }
  qsort(w->rows, w->nrows, sizeof(*w->rows), by_arrival);
}
