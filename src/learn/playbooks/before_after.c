#include "learn/playbooks/before_after.h"

#include "base/utf8.h"

#include <math.h>
#include <stdlib.h>

enum { NONE = UINT32_MAX };

/* Scopes by the id of their endpoint, or of their task class when they have no endpoint: lists through `next`. */
typedef struct {
  const obs_facts_view *view;
  const obs_before_after_scope *scopes;
  uint32_t *by_endpoint, *by_class; /* first scope of each id */
  uint32_t *next;
  uint16_t *class; /* of a scope with both: its task class's id */
} counting;

/* ABSENT: no op of the view has that name. */
static uint16_t find(const obs_facts_view *view, obs_fact_field field, obs_str text) {
  obs_str name = obs_utf8_cut_str(text, OBS_FACT_NAME);
  for (uint32_t id = OBS_FACT_NAMED; id < view->values[field]; id++)
    if (obs_str_eq(obs_facts_view_name(view, field, (uint16_t)id), name)) return (uint16_t)id;
  return OBS_FACT_ABSENT;
}

static uint32_t *make_heads(uint32_t n) {
  uint32_t *heads = malloc(((size_t)n + 1) * sizeof(*heads));
  for (uint32_t i = 0; heads != NULL && i <= n; i++) heads[i] = NONE;
  return heads;
}

static void note(const counting *c, uint32_t scope, uint32_t row) {
  const obs_facts_view *v = c->view;
  for (; scope != NONE; scope = c->next[scope]) {
    obs_before_after *e = c->scopes[scope].effect;
    if (c->class[scope] != OBS_FACT_ABSENT && c->class[scope] != v->id[OBS_FACT_task_class][row]) continue;
    if (v->seq[row] <= e->through_seq) continue;
    obs_before_after_side *side = v->seq[row] <= e->since_seq ? &e->before : &e->after;
    side->ops++;
    if ((v->flags[row] & OBS_FACT_FAILED) != 0) side->failures++;
  }
}

observer_err obs_before_after_count(const obs_facts_view *view, const obs_before_after_scope *scopes, uint32_t n) {
  if (view->n == 0 || n == 0) return OBSERVER_E_OK;
  counting c = {view,
                scopes,
                make_heads(view->values[OBS_FACT_endpoint]),
                make_heads(view->values[OBS_FACT_task_class]),
                calloc(n, sizeof(*c.next)),
                calloc(n, sizeof(*c.class))};
  bool ok = c.by_endpoint != NULL && c.by_class != NULL && c.next != NULL && c.class != NULL;
  if (ok) {
    for (uint32_t i = 0; i < n; i++) {
      const obs_before_after_scope *s = &scopes[i];
      bool of_endpoint = s->endpoint.len > 0, of_class = s->task_class.len > 0;
      uint16_t endpoint = of_endpoint ? find(view, OBS_FACT_endpoint, s->endpoint) : OBS_FACT_ABSENT;
      uint16_t class = of_class ? find(view, OBS_FACT_task_class, s->task_class) : OBS_FACT_ABSENT;
      if ((of_endpoint && endpoint == OBS_FACT_ABSENT) || (of_class && class == OBS_FACT_ABSENT)) continue;
      if (!of_endpoint && !of_class) continue;
      uint32_t *head = of_endpoint ? &c.by_endpoint[endpoint] : &c.by_class[class];
      c.class[i] = of_endpoint ? class : OBS_FACT_ABSENT;
      c.next[i] = *head;
      *head = i;
    }
    for (uint32_t row = 0; row < view->n; row++) {
      note(&c, c.by_endpoint[view->id[OBS_FACT_endpoint][row]], row);
      note(&c, c.by_class[view->id[OBS_FACT_task_class][row]], row);
    }
    for (uint32_t i = 0; i < n; i++) {
      uint64_t last = view->seq[view->n - 1];
      if (scopes[i].effect->through_seq < last) scopes[i].effect->through_seq = last;
    }
  }
  free(c.by_endpoint);
  free(c.by_class);
  free(c.next);
  free(c.class);
  return ok ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

uint64_t obs_before_after_first_failure(const obs_facts_view *view, uint64_t cluster) {
  for (uint32_t row = 0; row < view->n; row++)
    if (view->cluster[row] == cluster && (view->flags[row] & OBS_FACT_FAILED) != 0) return view->seq[row];
  return 0;
}

/* Wilson's score interval of a share p of n: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n). Unlike p ± z·s it stays
 * within 0 and 1, and is not empty when none or all failed. The ends are exact there, free of rounding. */
static void wilson(obs_before_after_side s, double z, double *low, double *high) {
  double n = (double)s.ops, p = (double)s.failures / n, zz = z * z;
  double middle = (p + zz / (2 * n)) / (1 + zz / n);
  double half = z / (1 + zz / n) * sqrt(p * (1 - p) / n + zz / (4 * n * n));
  *low = s.failures == 0 ? 0 : fmax(0, middle - half);
  *high = s.failures == s.ops ? 1 : fmin(1, middle + half);
}

obs_before_after_interval obs_before_after_compare(const obs_before_after *e, double z) {
  double before = (double)e->before.failures / (double)e->before.ops;
  double after = (double)e->after.failures / (double)e->after.ops;
  double before_low, before_high, after_low, after_high, d = after - before;
  /* Newcombe's method 10: of each side, the distance to the end of its interval that faces the other one, added as
   * independent errors are. */
  wilson(e->before, z, &before_low, &before_high);
  wilson(e->after, z, &after_low, &after_high);
  return (obs_before_after_interval){d, d - hypot(after - after_low, before_high - before),
                                     d + hypot(after_high - after, before - before_low)};
}
