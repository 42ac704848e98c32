#include "base/utf8.h"
#include "notify/internal.h"

#include <stdlib.h>
#include <string.h>

/* Copies texts behind each other into the room of the facts. */
typedef struct {
  char *at;
  obs_redact *redact;
  bool ok;
} copier;

static const char *copy(copier *c, const char *text, size_t max) {
  obs_buf clean = {0};
  obs_str s = obs_str_of(text);
  if (obs_redact_text(c->redact, s, &clean)) s = obs_buf_view(&clean);
  c->ok = c->ok && !clean.oom;
  size_t len = obs_utf8_cut(s.p, s.len, max);
  char *start = c->at;
  for (size_t i = 0; i < len; i++) /* one line, whatever it is put into */
    start[i] = (unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f ? ' ' : s.p[i];
  start[len] = '\0';
  c->at = start + len + 1;
  obs_buf_fini(&clean);
  return start;
}

/* Where a text of `room` is in the facts' own. */
static const char *moved(const obs_notify_facts *f, const char *room, const char *text) {
  return f->room + (text - room);
}

obs_notify_facts *obs_notify_facts_make(const obs_notify_alert *a, obs_redact *redact) {
  _Static_assert(OBS_NOTIFY_ALERT_BYTES >= 2 + OBS_NOTIFY_NAME_MAX + OBS_NOTIFY_TEXT_MAX + OBS_NOTIFY_PATH_MAX +
                                               OBS_NOTIFY_LABELS * (OBS_NOTIFY_NAME_MAX + OBS_NOTIFY_VALUE_MAX + 2) +
                                               OBS_NOTIFY_RECEIVERS * (OBS_NOTIFY_NAME_MAX + 1),
                 "the header says how much an alert takes");
  char room[OBS_NOTIFY_ALERT_BYTES];
  obs_notify_facts head = {.refs = 1,
                           .fingerprint = a->fingerprint,
                           .severity = a->severity,
                           .value = a->value,
                           .threshold = a->threshold,
                           .since_ms = a->since_ms,
                           .fired_ms = a->fired_ms,
                           .resolved_ms = a->resolved_ms,
                           .nlabels = a->nlabels,
                           .nreceivers = a->nreceivers};
  copier c = {room, redact, true};
  head.rule = copy(&c, a->rule, OBS_NOTIFY_NAME_MAX);
  head.text = copy(&c, a->text != NULL ? a->text : "", OBS_NOTIFY_TEXT_MAX);
  head.path = a->path != NULL && strlen(a->path) <= OBS_NOTIFY_PATH_MAX ? a->path : "/";
  head.path = copy(&c, head.path, OBS_NOTIFY_PATH_MAX);
  for (uint32_t i = 0; i < a->nlabels; i++) {
    head.labels[i].name = copy(&c, a->labels[i].name, OBS_NOTIFY_NAME_MAX);
    head.labels[i].value = copy(&c, a->labels[i].value != NULL ? a->labels[i].value : "", OBS_NOTIFY_VALUE_MAX);
  }
  for (uint32_t i = 0; i < a->nreceivers; i++) head.receivers[i] = copy(&c, a->receivers[i], OBS_NOTIFY_NAME_MAX);
  size_t used = (size_t)(c.at - room);
  obs_notify_facts *f = c.ok ? malloc(sizeof(*f) + used) : NULL;
  if (f == NULL) return NULL;
  *f = head;
  memcpy(f->room, room, used);
  f->rule = moved(f, room, head.rule);
  f->text = moved(f, room, head.text);
  f->path = moved(f, room, head.path);
  for (uint32_t i = 0; i < f->nlabels; i++) {
    f->labels[i].name = moved(f, room, head.labels[i].name);
    f->labels[i].value = moved(f, room, head.labels[i].value);
  }
  for (uint32_t i = 0; i < f->nreceivers; i++) f->receivers[i] = moved(f, room, head.receivers[i]);
  return f;
}

obs_notify_facts *obs_notify_facts_hold(obs_notify_facts *f) {
  f->refs++;
  return f;
}

void obs_notify_facts_release(obs_notify_facts *f) {
  if (f != NULL && --f->refs == 0) free(f);
}

const char *obs_notify_facts_label(const obs_notify_facts *f, const char *name) {
  if (strcmp(name, "rule") == 0) return f->rule;
  if (strcmp(name, "severity") == 0) return obs_notify_severity_names[f->severity];
  for (uint32_t i = 0; i < f->nlabels; i++)
    if (strcmp(f->labels[i].name, name) == 0) return f->labels[i].value;
  return NULL;
}
