#include "observerctl/demo/fleet.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { CORRECTED_MS = 45000, DEPLOYED_MS = 60000, ROLLED_BACK_MS = 300000 };

/* ---- what the fleet does ---- */

typedef struct {
  const char *endpoint, *source, *task_class;
  const char *const *staffers;
  const char *const *event_kinds; /* NULL: none */
  const char *input, *output;     /* {name} is replaced, see `names` */
  unsigned share;                 /* of 100 ops */
  unsigned ms;                    /* typical duration */
  bool fills, deployed;           /* it has a role, a city and a count; its ops carry a version */
} work;

static const char *const models[] = {"gpt-oss:120b", "qwen2.5", "qwen3-coder", NULL};
static const char *const planners[] = {"planner-a", "planner-b", NULL};
static const char *const mailers[] = {"mailer-1", "mailer-2", "mailer-3", NULL};
static const char *const extractors[] = {"extractor-1", "extractor-2", NULL};
static const char *const bots[] = {"bot-north", "bot-south", NULL};
static const char *const fill_kinds[] = {"baseline_fill", "expiring_cert", "emergency", NULL};
static const char *const cycle_kinds[] = {"review", "triage", NULL};
static const char *const roles[] = {"welder", "electrician", "nurse", "forklift operator", NULL};
static const char *const old_version[] = {"2.14.0", NULL};
static const char *const both_versions[] = {"2.14.0", "2.15.0", NULL};

static const struct {
  const char *city, *state;
} places[] = {{"Toledo", "OH"}, {"Dayton", "OH"}, {"Cleveland", "OH"},
              {"Gary", "IN"},   {"Muncie", "IN"}, {"Flint", "MI"}};

static const work works[OBS_FLEET_WORKS] = {
    {"/v1/chat", "mcp", "support", models, NULL, "answer ticket {number}", "answered", 34, 900, false, false},
    {"/v1/search", "mcp", "sourcing", models, NULL, "find people for shift {number}", "{few} rows", 20, 60, false,
     false},
    {"scenario:fill", "scenario", "staffing_fill", planners, fill_kinds,
     "{event_kind} {role}\xc3\x97{few} in {city}, {state}", "filled", 18, 240, true, false},
    {"mailer:send", "mcp", "confirmation", mailers, NULL, "send the confirmation of shift {number}", "sent", 14, 120,
     false, true},
    {"/v1/extract", "langfuse", "read_cv", extractors, NULL, "extract the skills from CV {number}", "{few} skills", 10,
     1500, false, false},
    {"bot:cycle", "bot", "maintenance", bots, cycle_kinds, "{event_kind} of proposal {number}", "done", 4, 2500, false,
     false},
};

/* ---- what makes it fail ---- */

/* What is drawn for one op. */
typedef struct {
  const work *work;
  const char *staffer, *event_kind, *role, *city, *state, *version;
  char number[12], few[4];
} scene;

typedef struct {
  const char *endpoint;
  size_t field; /* of the scene: it must be `value`; 0: whatever it is */
  const char *value;
  uint64_t from_ms, until_ms; /* 0: no end */
  unsigned per_mille;         /* how many of these ops fail */
  unsigned ms;                /* how long those take; 0: as long as the others */
  const char *error;
} fault;

/* The first that strikes decides. The last three are noise: they have no cause to be found. */
static const fault faults[] = {
    {"/v1/chat", offsetof(scene, staffer), "qwen3-coder", 0, 0, 380, 30000, "upstream timed out after 30000 ms"},
    {"scenario:fill", offsetof(scene, city), "Dayton", 0, 0, 900, 15, "no roster for {city} (lookup {number})"},
    {"/v1/extract", 0, NULL, 0, CORRECTED_MS, 450, 0, "JSON parse error at column {number}"},
    {"mailer:send", offsetof(scene, version), "2.15.0", DEPLOYED_MS, ROLLED_BACK_MS, 600, 5,
     "authentication failed: no key"},
    {"/v1/search", 0, NULL, 0, 0, 12, 5, "429 Too Many Requests"},
    {"/v1/chat", 0, NULL, 0, 0, 6, 5, "429 Too Many Requests"},
    {"bot:cycle", 0, NULL, 0, 0, 20, 0, "cannot parse the plan"},
};

/* ---- what happens when ---- */

static const obs_fleet_moment moments[] = {
    {.told = "from the start: qwen3-coder times out on a share of its /v1/chat calls"},
    {.told = "from the start: Dayton has no roster, so scenario:fill fails there"},
    {.told = "from the start: /v1/extract often answers with prose where JSON is expected"},
    {.at_ms = CORRECTED_MS,
     .told = "an overseer corrects read_cv: the failures of /v1/extract stop here",
     .op = {.endpoint = "overseer:gpt-oss:120b",
            .input_summary = "read_cv: prose instead of JSON",
            .success = OBSERVER_TRUE,
            .duration_ms = {4200, true},
            .output_summary = "Say \"answer with JSON only\" and give the schema.",
            .source = "overseer_correction",
            .task_class = "read_cv",
            .correction = "Say \"answer with JSON only\" and give the schema."}},
    {.at_ms = DEPLOYED_MS,
     .told = "mailer 2.15.0 is deployed to half of the instances: mailer:send fails there from now on",
     .op = {.endpoint = "deploy:mailer",
            .input_summary = "mailer 2.14.0 to 2.15.0, half of the instances",
            .success = OBSERVER_TRUE,
            .duration_ms = {8000, true},
            .output_summary = "rolled out",
            .source = "ci",
            .event_kind = "deploy"}},
    {.at_ms = ROLLED_BACK_MS,
     .told = "mailer is rolled back to 2.14.0: mailer:send works again",
     .op = {.endpoint = "deploy:mailer",
            .input_summary = "mailer 2.15.0 to 2.14.0, all instances",
            .success = OBSERVER_TRUE,
            .duration_ms = {6000, true},
            .output_summary = "rolled back",
            .source = "ci",
            .event_kind = "deploy"}},
};

const obs_fleet_moment *obs_fleet_moment_due(obs_fleet *f, uint64_t ms) {
  if (f->moments == COUNT(moments) || moments[f->moments].at_ms > ms) return NULL;
  return &moments[f->moments++];
}

/* ---- one op ---- */

/* splitmix64 */
static uint64_t draw(obs_fleet *f, uint64_t below) {
  uint64_t z = f->random += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return (z ^ (z >> 31)) % below;
}

static const char *pick(obs_fleet *f, const char *const *list) {
  size_t n = 1;
  if (list == NULL) return NULL;
  while (list[n] != NULL) n++;
  return list[draw(f, n)];
}

void obs_fleet_init(obs_fleet *f, uint32_t run) {
  *f = (obs_fleet){.random = run, .run = run};
}

/* The work's index by its share. */
static size_t pick_work(obs_fleet *f) {
  unsigned at = (unsigned)draw(f, 100);
  size_t i = 0;
  while (i + 1 < OBS_FLEET_WORKS && at >= works[i].share) at -= works[i++].share;
  return i;
}

/* One of the work's open sessions, which has one staffer and ends after three to nine ops. */
static obs_fleet_session *pick_session(obs_fleet *f, size_t i) {
  obs_fleet_session *s = &f->open[i][draw(f, OBS_FLEET_SESSIONS)];
  if (s->left == 0) {
    s->staffer = pick(f, works[i].staffers);
    s->left = 3 + (unsigned)draw(f, 7);
    (void)snprintf(s->id, sizeof(s->id), "demo-%u-s%lu", f->run, ++f->sessions);
  }
  s->left--;
  return s;
}

static scene draw_scene(obs_fleet *f, uint64_t ms, const work *w, const char *staffer) {
  scene s = {.work = w, .staffer = staffer, .event_kind = pick(f, w->event_kinds)};
  if (w->fills) {
    size_t place = draw(f, COUNT(places));
    s.role = pick(f, roles);
    s.city = places[place].city;
    s.state = places[place].state;
  }
  if (w->deployed) s.version = pick(f, ms < DEPLOYED_MS || ms >= ROLLED_BACK_MS ? old_version : both_versions);
  (void)snprintf(s.number, sizeof(s.number), "%u", 1000 + (unsigned)draw(f, 9000));
  (void)snprintf(s.few, sizeof(s.few), "%u", 1 + (unsigned)draw(f, 9));
  return s;
}

static const char *scene_text(const scene *s, size_t field) {
  return *(const char *const *)((const char *)s + field);
}

static const fault *draw_fault(obs_fleet *f, uint64_t ms, const scene *s) {
  for (size_t i = 0; i < COUNT(faults); i++) {
    const fault *t = &faults[i];
    if (strcmp(t->endpoint, s->work->endpoint) != 0 || ms < t->from_ms || (t->until_ms > 0 && ms >= t->until_ms))
      continue;
    if (t->value != NULL && strcmp(scene_text(s, t->field), t->value) != 0) continue;
    if (draw(f, 1000) < t->per_mille) return t;
  }
  return NULL;
}

/* The template with what its names stand for. */
static void fill_in(char *out, size_t size, const char *template, const scene *s) {
  const struct {
    const char *name, *value;
  } names[] = {{"{number}", s->number}, {"{few}", s->few},   {"{event_kind}", s->event_kind},
               {"{role}", s->role},     {"{city}", s->city}, {"{state}", s->state}};
  size_t n = 0;
  while (*template != '\0' && n + 1 < size) {
    size_t i = 0;
    while (i < COUNT(names) && strncmp(template, names[i].name, strlen(names[i].name)) != 0) i++;
    if (i == COUNT(names)) {
      out[n++] = *template ++;
      continue;
    }
    int more = snprintf(out + n, size - n, "%s", names[i].value);
    n += (size_t)more < size - n ? (size_t)more : size - n - 1;
    template += strlen(names[i].name);
  }
  out[n] = '\0';
}

/* {"version": version} in msgpack; the version has less than 16 bytes. */
static observer_JSON version_extra(unsigned char extra[32], const char *version) {
  if (version == NULL) return (observer_JSON){NULL, 0};
  static const char head[] = "\x81\xa7version";
  int n = snprintf((char *)extra, 32, "%s%c%s", head, (char)(0xa0 | strlen(version)), version);
  return (observer_JSON){extra, (size_t)n};
}

void obs_fleet_next(obs_fleet *f, uint64_t ms, obs_fleet_op *out) {
  size_t i = pick_work(f);
  const work *w = &works[i];
  const obs_fleet_session *session = pick_session(f, i);
  scene s = draw_scene(f, ms, w, session->staffer);
  const fault *failed = draw_fault(f, ms, &s);
  unsigned took = w->ms / 2 + (unsigned)draw(f, w->ms);

  fill_in(out->input, sizeof(out->input), w->input, &s);
  if (failed != NULL) {
    fill_in(out->error, sizeof(out->error), failed->error, &s);
    (void)snprintf(out->output, sizeof(out->output), "ERROR: %s", out->error);
    if (failed->ms > 0) took = failed->ms + (unsigned)draw(f, failed->ms / 10 + 1);
  } else {
    fill_in(out->output, sizeof(out->output), w->output, &s);
  }
  (void)snprintf(out->op_id, sizeof(out->op_id), "demo-%u-%lu", f->run, ++f->ops);
  (void)snprintf(out->cycle_id, sizeof(out->cycle_id), "%s-c%lu", session->id, f->ops);
  out->op = (observer_op){
      .endpoint = w->endpoint,
      .input_summary = out->input,
      .success = failed != NULL ? OBSERVER_FALSE : OBSERVER_TRUE,
      .duration_ms = OBSERVER_INT(took),
      .output_summary = out->output,
      .error = failed != NULL ? out->error : NULL,
      .source = w->source,
      .staffer_id = s.staffer,
      .event_kind = s.event_kind,
      .role = s.role,
      .city = s.city,
      .state = s.state,
      .count = w->fills ? OBSERVER_INT(s.few[0] - '0') : (observer_int){0},
      .task_class = w->task_class,
      .op_id = out->op_id,
      .session_id = session->id,
      .cycle_id = strcmp(w->source, "bot") == 0 ? out->cycle_id : NULL,
      .extra = version_extra(out->extra, s.version),
  };
}
