#include "alerts/rules.h"

#include "alerts/known.h"
#include "base/json_search.h"
#include "base/utf8.h"
#include "options/options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const char *const obs_rule_form_names[OBS_RULE_FORMS] = {
#define OBS_RULE_FORM_NAME(name, text) [OBS_RULE_##name] = (text),
    OBS_RULE_FORM_MAP(OBS_RULE_FORM_NAME)
#undef OBS_RULE_FORM_NAME
};
const char *const obs_rule_severity_names[OBS_RULE_SEVERITIES] = {"info", "warn", "page"};
const char *const obs_rule_check_names[OBS_RULE_CHECKS] = {"recording", "conservation"};

/* Forms of the design that are still to come. */
static const char *const later_forms[] = {"loop", "sum"};

enum { MINUTE = 60 * 1000, DAY = 24 * 60 * MINUTE, LEAST_WITHIN = 1000 };

/* ---- faults ---- */

typedef struct {
  obs_buf *out;
  unsigned told;
  char at[160]; /* `rules[2] "failing"` */
} faults;

static void fault(faults *f, const char *member, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void fault(faults *f, const char *member, const char *fmt, ...) {
  char text[400];
  va_list args;
  va_start(args, fmt);
  (void)vsnprintf(text, sizeof(text), fmt, args);
  va_end(args);
  if (f->told++ >= OBS_RULES_FAULTS) return;
  obs_buf_printf(f->out, "%s%s%s%s%s\n", f->at, f->at[0] != '\0' ? ": " : "", member != NULL ? member : "",
                 member != NULL ? ": " : "", text);
}

static void no_memory(faults *f) {
  fault(f, NULL, "out of memory");
}

/* ---- members ---- */

enum {
  OP = 1 << OBS_RULE_OP,
  RATE = 1 << OBS_RULE_RATE,
  CLUSTER = 1 << OBS_RULE_CLUSTER,
  ABSENCE = 1 << OBS_RULE_ABSENCE,
  SELF = 1 << OBS_RULE_SELF,
  EVERY = OP | RATE | CLUSTER | ABSENCE | SELF
};

typedef struct member member;
struct member {
  const char *name;
  unsigned forms;
  void (*read)(faults *f, const member *m, const cJSON *v, obs_rule *out);
  size_t at;       /* of what `read` sets, where it sets one thing */
  double min, max; /* of a number or a time */
};

static void read_nothing(faults *f, const member *m, const cJSON *v, obs_rule *out) {
  (void)f, (void)m, (void)v, (void)out; /* id and on are read before the others */
}

static void read_time(faults *f, const member *m, const cJSON *v, obs_rule *out) {
  char least[OBS_RULES_DURATION], most[OBS_RULES_DURATION];
  uint64_t ms = 0;
  if (!cJSON_IsString(v) || !obs_option_read_duration(v->valuestring, &ms))
    fault(f, m->name, "must be a time with its unit such as \"90s\" or \"10m\"");
  else if ((double)ms < m->min || (double)ms > m->max)
    fault(f, m->name, "must be from %s to %s", obs_rules_duration((uint64_t)m->min, least),
          obs_rules_duration((uint64_t)m->max, most));
  else
    *(uint64_t *)((char *)out + m->at) = ms;
}

static void read_count(faults *f, const member *m, const cJSON *v, obs_rule *out) {
  double n = cJSON_IsNumber(v) ? v->valuedouble : -1;
  if (n < m->min || n > m->max || n != (double)(uint64_t)n)
    fault(f, m->name, "must be a whole number from %.0f to %.0f", m->min, m->max);
  else
    *(uint64_t *)((char *)out + m->at) = (uint64_t)n;
}

static void read_number(faults *f, const member *m, const cJSON *v, obs_rule *out) {
  if (!cJSON_IsNumber(v) || !(v->valuedouble >= m->min && v->valuedouble <= m->max))
    fault(f, m->name, "must be a number from %g to %g", m->min, m->max);
  else
    memcpy((char *)out + m->at, &v->valuedouble, sizeof(v->valuedouble));
}

static void read_conditions(faults *f, const member *m, const cJSON *v, obs_rule *out) {
  char why[400];
  if (!obs_conditions_read(v, m->name, (obs_conditions *)((char *)out + m->at), why, sizeof(why)))
    fault(f, NULL, "%s", why);
}

static void read_by(faults *f, const member *m, const cJSON *v, obs_rule *out) {
  char why[200];
  int n = cJSON_GetArraySize(v);
  if (!cJSON_IsArray(v) || n < 1 || n > OBS_RULES_BY) {
    fault(f, m->name, "must be a list of 1 to %d dot paths", OBS_RULES_BY);
    return;
  }
  if (out->by == NULL) out->by = calloc(OBS_RULES_BY, sizeof(*out->by));
  if (out->by == NULL) {
    no_memory(f);
    return;
  }
  const cJSON *item;
  cJSON_ArrayForEach(item, v) {
    if (!cJSON_IsString(item))
      fault(f, m->name, "must be a list of 1 to %d dot paths", OBS_RULES_BY);
    else if (strlen(item->valuestring) > OBS_RULES_ID_MAX)
      fault(f, m->name, "a path must be at most %d bytes", OBS_RULES_ID_MAX);
    else if (!obs_field_compile(item->valuestring, &out->by[out->nby], why, sizeof(why)))
      fault(f, m->name, "%s: %s", item->valuestring, why);
    else
      out->nby++;
  }
}

/* Which of `names` it is; -1 and a fault: none. */
static int choose(faults *f, const char *name, const cJSON *v, const char *const *names, size_t n) {
  char list[200] = "";
  for (size_t i = 0; i < n; i++) {
    if (cJSON_IsString(v) && strcmp(v->valuestring, names[i]) == 0) return (int)i;
    size_t len = strlen(list);
    (void)snprintf(list + len, sizeof(list) - len, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", names[i]);
  }
  const char *near = cJSON_IsString(v) ? obs_known_near(v->valuestring, names, n) : NULL;
  fault(f, name, "must be %s%s%s%s", list, near != NULL ? "; did you mean " : "", near != NULL ? near : "",
        near != NULL ? "?" : "");
  return -1;
}

static void read_severity(faults *f, const member *m, const cJSON *v, obs_rule *out) {
  int i = choose(f, m->name, v, obs_rule_severity_names, OBS_RULE_SEVERITIES);
  if (i >= 0) out->severity = (obs_rule_severity)i;
}

static void read_check(faults *f, const member *m, const cJSON *v, obs_rule *out) {
  int i = choose(f, m->name, v, obs_rule_check_names, OBS_RULE_CHECKS);
  if (i >= 0) out->check = (obs_rule_check)i;
}

static void read_states(faults *f, const member *m, const cJSON *v, obs_rule *out) {
  if (!cJSON_IsArray(v) || v->child == NULL) {
    fault(f, m->name, "must be a list of states such as [\"new\", \"regressed\"]");
    return;
  }
  out->states = 0;
  const cJSON *item;
  cJSON_ArrayForEach(item, v) {
    int i = choose(f, m->name, item, obs_cluster_state_names, OBS_CLUSTER_STATES);
    if (i >= 0) out->states |= 1u << i;
  }
}

static void read_text(faults *f, const member *m, const cJSON *v, obs_rule *out) {
  if (!cJSON_IsString(v) || strlen(v->valuestring) > 1000) {
    fault(f, m->name, "must be a text of at most 1000 bytes");
  } else if ((out->text = strdup(v->valuestring)) == NULL) {
    no_memory(f);
  }
}

static void read_learned(faults *f, const member *m, const cJSON *v, obs_rule *out) {
  if (!cJSON_IsBool(v))
    fault(f, m->name, "must be true or false");
  else
    out->learned = cJSON_IsTrue(v) != 0;
}

static void read_to(faults *f, const member *m, const cJSON *v, obs_rule *out) {
  int n = cJSON_GetArraySize(v);
  if (!cJSON_IsArray(v) || n < 1 || n > OBS_RULES_TO) {
    fault(f, m->name, "must be a list of 1 to %d receivers", OBS_RULES_TO);
    return;
  }
  const cJSON *item;
  cJSON_ArrayForEach(item, v) {
    if (!cJSON_IsString(item) || item->valuestring[0] == '\0' || strlen(item->valuestring) > OBS_RULES_ID_MAX)
      fault(f, m->name, "must be a list of 1 to %d receivers", OBS_RULES_TO);
    else if ((out->to[out->nto] = strdup(item->valuestring)) == NULL)
      no_memory(f);
    else
      out->nto++;
  }
}

static void read_table(faults *f, const char *name, const cJSON *v, const member *members, size_t n, unsigned form,
                       const char *of_what, obs_rule *out);

#define AT(x) offsetof(obs_rule, x)

static void read_count_object(faults *f, const member *m, const cJSON *v, obs_rule *out) {
  static const member members[] = {{"at_least", OP, read_count, AT(at_least), 1, 1e6},
                                   {"within", OP, read_time, AT(within_ms), LEAST_WITHIN, DAY},
                                   {"by", OP, read_by, 0, 0, 0}};
  read_table(f, m->name, v, members, COUNT(members), OP, "count", out);
}

static void read_slower(faults *f, const member *m, const cJSON *v, obs_rule *out) {
  static const member members[] = {{"times", RATE, read_number, AT(slower_times), 1.1, 1000},
                                   {"by_ms", RATE, read_count, AT(slower_by_ms), 0, 1e9}};
  read_table(f, m->name, v, members, COUNT(members), RATE, "slower", out);
  if (cJSON_IsObject(v) && cJSON_GetObjectItemCaseSensitive(v, "times") == NULL) fault(f, "slower.times", "is missing");
}

static const member members[] = {
    {"id", EVERY, read_nothing, 0, 0, 0},
    {"on", EVERY, read_nothing, 0, 0, 0},
    {"severity", EVERY, read_severity, 0, 0, 0},
    {"text", EVERY, read_text, 0, 0, 0},
    {"to", EVERY, read_to, 0, 0, 0},
    {"when", OP | RATE | ABSENCE, read_conditions, AT(when), 0, 0},
    {"of", RATE, read_conditions, AT(of), 0, 0},
    {"count", OP, read_count_object, 0, 0, 0},
    {"above", RATE | CLUSTER, read_number, AT(above), 0, 1},
    {"clear_below", RATE, read_number, AT(clear_below), 0, 1},
    {"confidence", RATE, read_number, AT(confidence), 0.5, 0.99999},
    {"slower", RATE, read_slower, 0, 0, 0},
    {"min_ops", RATE, read_count, AT(min_ops), 1, 1e6},
    {"within", RATE | CLUSTER, read_time, AT(within_ms), LEAST_WITHIN, DAY},
    {"clear_within", RATE, read_time, AT(clear_within_ms), LEAST_WITHIN, DAY},
    {"by", RATE | ABSENCE, read_by, 0, 0, 0},
    {"states", CLUSTER, read_states, 0, 0, 0},
    {"at_least", CLUSTER, read_count, AT(at_least), 1, 1e6},
    {"learned", ABSENCE, read_learned, 0, 0, 0},
    {"check", SELF, read_check, 0, 0, 0},
    {"for", EVERY, read_time, AT(for_ms), 0, DAY},
    {"keep", EVERY, read_time, AT(keep_ms), 0, DAY},
};

/* Whether a member of that name stands before this one. */
static bool is_second(const cJSON *object, const cJSON *m) {
  for (const cJSON *x = object->child; x != m; x = x->next)
    if (strcmp(x->string, m->string) == 0) return true;
  return false;
}

/* Each member of an object by its row; one that has none, or is not of this form, is a fault. */
static void read_table(faults *f, const char *name, const cJSON *v, const member *table, size_t n, unsigned form,
                       const char *of_what, obs_rule *out) {
  if (!cJSON_IsObject(v)) {
    fault(f, name, "must be an object");
    return;
  }
  const char *names[COUNT(members)];
  const cJSON *m;
  cJSON_ArrayForEach(m, v) {
    size_t i = 0;
    while (i < n && strcmp(table[i].name, m->string) != 0) i++;
    if (is_second(v, m)) {
      fault(f, m->string, "is there twice");
    } else if (i < n && (table[i].forms & form) != 0) {
      table[i].read(f, &table[i], m, out);
    } else if (i < n) {
      fault(f, m->string, "is no member of a rule on %s", of_what);
    } else {
      for (i = 0; i < n; i++) names[i] = (table[i].forms & form) != 0 ? table[i].name : NULL;
      const char *near = obs_known_near(m->string, names, n);
      fault(f, m->string, near != NULL ? "is not known; did you mean %s?" : "is not known%s", near != NULL ? near : "");
    }
  }
}

/* ---- a rule ---- */

static bool is_id(const char *s) {
  size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.");
  return n > 0 && n <= OBS_RULES_ID_MAX && s[n] == '\0';
}

/* What a rule has that does not say so. */
static const obs_rule defaults[OBS_RULE_FORMS] = {
    [OBS_RULE_OP] = {.at_least = 1, .within_ms = 5 * MINUTE, .keep_ms = MINUTE},
    [OBS_RULE_RATE] = {.above = -1, .clear_below = -1, .min_ops = 30, .within_ms = 5 * MINUTE, .keep_ms = 5 * MINUTE},
    [OBS_RULE_CLUSTER] = {.states = 1u << OBS_CLUSTER_NEW | 1u << OBS_CLUSTER_REGRESSED,
                          .at_least = 1,
                          .within_ms = 10 * MINUTE,
                          .keep_ms = 5 * MINUTE},
    [OBS_RULE_ABSENCE] = {.for_ms = 15 * MINUTE, .keep_ms = MINUTE},
    [OBS_RULE_SELF] = {.check = OBS_RULE_CHECKS, .for_ms = MINUTE, .keep_ms = MINUTE},
};

/* What members say together. */
static void check_rule(faults *f, const cJSON *json, obs_rule *r) {
  if (r->form == OBS_RULE_RATE) {
    if (r->of.nodes == NULL && r->slower_times == 0) fault(f, "of", "is missing (or slower)");
    if (r->of.nodes != NULL && r->slower_times != 0) fault(f, "slower", "cannot stand beside of");
    if (cJSON_GetObjectItemCaseSensitive(json, "above") == NULL) fault(f, "above", "is missing");
    if (r->clear_below < 0) r->clear_below = r->above / 2;
    if (r->above >= 0 && r->clear_below > r->above) fault(f, "clear_below", "must not be more than above");
    if (r->clear_within_ms > r->within_ms) fault(f, "clear_within", "must not be longer than within");
  }
  if (r->form == OBS_RULE_CLUSTER && r->within_ms > 60 * MINUTE) fault(f, "within", "must be from 1s to 1h");
  if (r->form == OBS_RULE_ABSENCE && r->for_ms < LEAST_WITHIN) fault(f, "for", "must be from 1s to 1d");
  if (r->form == OBS_RULE_SELF && r->check == OBS_RULE_CHECKS) fault(f, "check", "is missing");
}

static void describe_window(const obs_rule *r, obs_buf *b) {
  char text[OBS_RULES_DURATION];
  obs_buf_printf(b, " within %s", obs_rules_duration(r->within_ms, text));
}

/* What an op that counts has done, or (of a rule on ops) is. */
static void describe_bad(const obs_rule *r, const char *took, obs_buf *b) {
  size_t from = b->len;
  if (r->slower_times > 0) {
    obs_buf_printf(b, "%s more than %g times as long as nine in ten usually do", took, r->slower_times);
    return;
  }
  if (r->form == OBS_RULE_RATE) obs_buf_puts(b, "are ops where ");
  obs_conditions_describe(r->form == OBS_RULE_RATE ? &r->of : &r->when, b);
  if (!obs_str_is(obs_str_slice(obs_buf_view(b), (uint32_t)from, UINT32_MAX), "are ops where success is false")) return;
  b->len = from;
  obs_buf_puts(b, "failed");
}

/* The rule in words. */
static void describe(const obs_rule *r, obs_buf *b) {
  char text[OBS_RULES_DURATION];
  switch (r->form) {
  case OBS_RULE_OP:
    obs_buf_printf(b, "%" PRIu64 " or more ops", r->at_least);
    describe_window(r, b);
    obs_buf_puts(b, " where ");
    obs_conditions_describe(&r->when, b);
    break;
  case OBS_RULE_RATE:
    obs_buf_printf(b, "more than %g %% of the ops", r->above * 100);
    describe_window(r, b);
    if (r->when.n > 0) {
      obs_buf_puts(b, " where ");
      obs_conditions_describe(&r->when, b);
    }
    obs_buf_putc(b, ' ');
    describe_bad(r, "take", b);
    break;
  case OBS_RULE_CLUSTER:
    obs_buf_printf(b, "a kind of failure that is ");
    for (unsigned s = 0, said = 0; s < OBS_CLUSTER_STATES; s++)
      if ((r->states & 1u << s) != 0) obs_buf_printf(b, "%s%s", said++ > 0 ? " or " : "", obs_cluster_state_names[s]);
    obs_buf_printf(b, " has %" PRIu64 " or more failures", r->at_least);
    describe_window(r, b);
    if (r->above > 0) obs_buf_printf(b, ", more than %g %% of the ops where it fails", r->above * 100);
    break;
  case OBS_RULE_ABSENCE:
    obs_buf_puts(b, r->learned ? "what used to come regularly has not come" : "no op has come");
    if (r->when.n > 0) {
      obs_buf_puts(b, " where ");
      obs_conditions_describe(&r->when, b);
    }
    obs_buf_printf(b, " for %s", obs_rules_duration(r->for_ms, text));
    if (r->learned) obs_buf_puts(b, " and for three times its longest pause, while others go on");
    break;
  case OBS_RULE_SELF:
    obs_buf_puts(b, r->check == OBS_RULE_RECORDING
                        ? "the daemon cannot record ops"
                        : "ops that were received are neither recorded, duplicates, rejected nor under way");
    break;
  case OBS_RULE_FORMS:
    break;
  }
  for (uint32_t i = 0; i < r->nby; i++) obs_buf_printf(b, "%s%s", i == 0 ? ", by " : " and ", r->by[i].text);
  if (r->for_ms > 0 && r->form != OBS_RULE_ABSENCE) obs_buf_printf(b, ", for %s", obs_rules_duration(r->for_ms, text));
}

static void read_rule(faults *f, const cJSON *json, unsigned index, bool builtin, obs_rule *out) {
  const cJSON *id = cJSON_GetObjectItemCaseSensitive(json, "id"), *on = cJSON_GetObjectItemCaseSensitive(json, "on");
  (void)snprintf(f->at, sizeof(f->at), "rules[%u]", index);
  if (!cJSON_IsObject(json)) {
    fault(f, NULL, "must be an object");
    return;
  }
  if (!cJSON_IsString(id) || !is_id(id->valuestring)) {
    fault(f, "id", "must be 1 to %d of a to z, 0 to 9, - _ .", OBS_RULES_ID_MAX);
    return;
  }
  (void)snprintf(f->at, sizeof(f->at), "rules[%u] \"%s\"", index, id->valuestring);
  for (size_t i = 0; cJSON_IsString(on) && i < COUNT(later_forms); i++) {
    if (strcmp(on->valuestring, later_forms[i]) != 0) continue;
    fault(f, "on", "the form %s is not known yet", later_forms[i]);
    return;
  }
  int form = choose(f, "on", on, obs_rule_form_names, OBS_RULE_FORMS);
  if (form < 0) return;
  unsigned told = f->told;
  *out = defaults[form];
  out->form = (obs_rule_form)form;
  out->severity = OBS_RULE_WARN;
  out->builtin = builtin;
  (void)snprintf(out->id, sizeof(out->id), "%s", id->valuestring);
  read_table(f, NULL, json, members, COUNT(members), 1u << form, obs_rule_form_names[form], out);
  check_rule(f, json, out);
  if (f->told != told) return; /* what is wrong has no words */
  obs_buf words = {0};
  if (out->text == NULL) {
    describe(out, &words);
    obs_buf_putc(&words, '\0');
    out->text = words.p; /* it goes on to belong to the rule */
  }
  obs_buf bad = {0};
  describe_bad(out, "took", &bad);
  obs_buf_putc(&bad, '\0');
  out->bad = bad.p;
  out->definition = cJSON_PrintUnformatted(json);
  if (words.oom || bad.oom || out->definition == NULL)
    no_memory(f);
  else
    out->digest = XXH3_64bits(out->definition, strlen(out->definition));
}

static void free_rule(obs_rule *r) {
  obs_conditions_fini(&r->when);
  obs_conditions_fini(&r->of);
  free(r->by);
  for (uint32_t i = 0; i < r->nto; i++) free(r->to[i]);
  free(r->text);
  free(r->bad);
  free(r->definition);
}

/* ---- a file ---- */

static const char *const file_members[] = {"rules",          "builtin", "receivers", "to",     "group_wait",
                                           "group_interval", "repeat",  "per_hour",  "$schema"};

static void check_members(faults *f, const cJSON *file) {
  const cJSON *m;
  if (file == NULL) return;
  cJSON_ArrayForEach(m, file) {
    size_t i = 0;
    while (i < COUNT(file_members) && strcmp(file_members[i], m->string) != 0) i++;
    if (is_second(file, m)) {
      fault(f, m->string, "is there twice");
      continue;
    }
    if (i < COUNT(file_members)) continue;
    const char *near = obs_known_near(m->string, file_members, COUNT(file_members));
    fault(f, m->string, near != NULL ? "is not known; did you mean %s?" : "is not known%s", near != NULL ? near : "");
  }
}

/* Whether `builtin` asks for the shipped rule of that id. */
static bool wants_builtin(const cJSON *wanted, const char *id) {
  if (wanted == NULL || cJSON_IsTrue(wanted)) return true;
  const cJSON *item;
  cJSON_ArrayForEach(item, wanted) {
    if (cJSON_IsString(item) && strcmp(item->valuestring, id) == 0) return true;
  }
  return false;
}

static void check_builtin(faults *f, const cJSON *wanted, const cJSON *shipped) {
  const char *names[OBS_RULES_MAX];
  size_t n = 0;
  const cJSON *item;
  if (wanted == NULL || cJSON_IsBool(wanted)) return;
  if (!cJSON_IsArray(wanted)) {
    fault(f, "builtin", "must be true, false or a list of ids of shipped rules");
    return;
  }
  cJSON_ArrayForEach(item, shipped) {
    names[n++] = cJSON_GetObjectItemCaseSensitive(item, "id")->valuestring;
  }
  cJSON_ArrayForEach(item, wanted) {
    (void)choose(f, "builtin", item, names, n);
  }
}

static bool has_id(const cJSON *list, const cJSON *until, const char *id) {
  const cJSON *item;
  cJSON_ArrayForEach(item, list) {
    if (item == until) return false;
    const char *other = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "id"));
    if (other != NULL && strcmp(other, id) == 0) return true;
  }
  return false;
}

static void read_own(faults *f, const cJSON *own, obs_rules *out, uint32_t max) {
  unsigned index = 0;
  if (own == NULL) return;
  if (!cJSON_IsArray(own)) {
    fault(f, "rules", "must be a list");
    return;
  }
  if ((uint32_t)cJSON_GetArraySize(own) > max) {
    fault(f, "rules", "there are more than %u", max);
    return;
  }
  const cJSON *item;
  cJSON_ArrayForEach(item, own) {
    obs_rule *r = &out->at[out->n++];
    read_rule(f, item, index, false, r);
    if (r->id[0] != '\0' && has_id(own, item, r->id)) fault(f, "id", "another rule has it");
    index++;
  }
  f->at[0] = '\0';
}

static bool read_all(faults *f, const cJSON *file, const cJSON *shipped, obs_rules *out) {
  const cJSON *own = cJSON_GetObjectItemCaseSensitive(file, "rules"), *item;
  const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(file, "builtin");
  unsigned index = 0;
  check_members(f, file);
  check_builtin(f, wanted, shipped);
  cJSON_ArrayForEach(item, shipped) {
    const char *id = cJSON_GetObjectItemCaseSensitive(item, "id")->valuestring;
    if (wants_builtin(wanted, id) && !has_id(own, NULL, id)) read_rule(f, item, index, true, &out->at[out->n++]);
    index++;
  }
  f->at[0] = '\0';
  read_own(f, own, out, OBS_RULES_MAX - out->n);
  return f->told == 0;
}

/* Where the text is broken. */
static void fault_syntax(faults *f, const char *text, const char *end) {
  unsigned line = 1;
  for (const char *p = text; p < end; p++) line += *p == '\n';
  fault(f, NULL, "line %u: no JSON from here on", line);
}

obs_rules *obs_rules_read(const char *text, size_t len, obs_buf *out) {
  faults f = {.out = out};
  const char *end = NULL;
  obs_rules *r = calloc(1, sizeof(*r));
  cJSON *shipped = cJSON_Parse(obs_rules_builtin);
  if (r != NULL) r->at = calloc(OBS_RULES_MAX, sizeof(*r->at));
  if (r == NULL || r->at == NULL || shipped == NULL) {
    no_memory(&f);
    goto fail;
  }
  if (text != NULL) {
    if (len > OBS_RULES_BYTES) {
      fault(&f, NULL, "is longer than %d bytes", OBS_RULES_BYTES);
      goto fail;
    }
    if (!obs_utf8_valid(text, len)) {
      fault(&f, NULL, "is not valid UTF-8");
      goto fail;
    }
    if (obs_json_has_nul((obs_str){text, (uint32_t)len, 0})) {
      fault(&f, NULL, "a text has U+0000 in it");
      goto fail;
    }
    r->file = cJSON_ParseWithLengthOpts(text, len, &end, false);
    while (r->file != NULL && end < text + len && strchr(" \t\r\n", *end) != NULL) end++;
    if (r->file == NULL || end < text + len) {
      fault_syntax(&f, text, end != NULL ? end : text);
      goto fail;
    }
    if (!cJSON_IsObject(r->file)) {
      fault(&f, NULL, "must be an object with `rules`");
      goto fail;
    }
  }
  if (!read_all(&f, r->file, cJSON_GetObjectItemCaseSensitive(shipped, "rules"), r)) goto fail;
  cJSON_Delete(shipped);
  return r;
fail:
  if (f.told > OBS_RULES_FAULTS) obs_buf_printf(out, "and %u more\n", f.told - OBS_RULES_FAULTS);
  cJSON_Delete(shipped);
  obs_rules_free(r);
  return NULL;
}

obs_rules *obs_rules_read_file(const char *path, obs_buf *out) {
  faults f = {.out = out};
  struct stat st;
  obs_buf text = {0};
  obs_rules *r = NULL;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 || fstat(fd, &st) != 0) {
    fault(&f, NULL, "cannot be read: %s", strerror(errno));
  } else if (!S_ISREG(st.st_mode)) {
    fault(&f, NULL, "is no regular file");
  } else if (!obs_buf_reserve(&text, OBS_RULES_BYTES + 1)) {
    no_memory(&f);
  } else {
    ssize_t n = 1;
    while (n > 0 && text.len <= OBS_RULES_BYTES) {
      n = read(fd, text.p + text.len, OBS_RULES_BYTES + 1 - text.len);
      if (n > 0) text.len += (size_t)n;
    }
    if (n < 0)
      fault(&f, NULL, "cannot be read: %s", strerror(errno));
    else
      r = obs_rules_read(text.p, text.len, out);
  }
  if (fd >= 0) (void)close(fd);
  obs_buf_fini(&text);
  return r;
}

void obs_rules_free(obs_rules *r) {
  if (r == NULL) return;
  for (uint32_t i = 0; r->at != NULL && i < r->n; i++) free_rule(&r->at[i]);
  free(r->at);
  cJSON_Delete(r->file);
  free(r);
}

const obs_rule *obs_rules_find(const obs_rules *r, const char *id) {
  for (uint32_t i = 0; i < r->n; i++)
    if (strcmp(r->at[i].id, id) == 0) return &r->at[i];
  return NULL;
}

const char *obs_rules_duration(uint64_t ms, char out[OBS_RULES_DURATION]) {
  static const struct {
    uint64_t ms;
    const char *unit;
  } units[] = {{DAY, "d"}, {60 * MINUTE, "h"}, {MINUTE, "m"}, {1000, "s"}, {1, "ms"}};
  size_t n = 0;
  out[0] = '\0';
  if (ms == 0) (void)snprintf(out, OBS_RULES_DURATION, "0s");
  for (size_t i = 0; i < COUNT(units); i++) {
    if (ms < units[i].ms) continue;
    n += (size_t)snprintf(out + n, OBS_RULES_DURATION - n, "%" PRIu64 "%s", ms / units[i].ms, units[i].unit);
    ms %= units[i].ms;
  }
  return out;
}
