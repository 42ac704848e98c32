/* /metrics: the table as Prometheus reads it.
 *
 * Text 0.0.4 and OpenMetrics 1.0 have the same samples. They differ in the name of a counter's family (without
 * `_total`), in `# UNIT`, in the type of what is information, in exemplars, and in the `# EOF` at the end.
 *
 * Values of labels come from outside, so that no two may look the same: one that is cut, or has bytes that a reader
 * might stumble over, ends in a hash of the whole, and so does one that looks as if it did. */
#include "base/names.h"
#include "base/utf8.h"
#include "metrics/metrics.h"

#include <inttypes.h>
#include <xxhash.h>

enum { MARK_DIGITS = 8, LABELS_MAX = 1024 };
#define MARK "\xe2\x80\xa6" /* an ellipsis */

/* ---- labels ---- */

static bool has_controls(obs_str s) {
  for (uint32_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.p[i];
    if ((c < 0x20 && c != '\n') || c == 0x7f) return true;
  }
  return false;
}

static bool looks_marked(obs_str s) {
  uint32_t n = (uint32_t)strlen(MARK) + MARK_DIGITS;
  return s.len >= n && memcmp(s.p + s.len - n, MARK, strlen(MARK)) == 0;
}

/* Within quotes. Control bytes become U+FFFD. */
static void put_escaped(obs_buf *out, obs_str s) {
  for (uint32_t i = 0; i < s.len; i++) {
    char c = s.p[i];
    if (c == '\\' || c == '"') {
      obs_buf_putc(out, '\\');
      obs_buf_putc(out, c);
    } else if (c == '\n') {
      obs_buf_puts(out, "\\n");
    } else if ((unsigned char)c < 0x20 || c == 0x7f) {
      obs_buf_puts(out, "\xef\xbf\xbd");
    } else {
      obs_buf_putc(out, c);
    }
  }
}

static void put_label(obs_buf *out, const char *name, obs_str value) {
  bool marked = value.len > OBS_NAMES_SHOWN || has_controls(value) || looks_marked(value);
  uint32_t most = OBS_NAMES_SHOWN - (uint32_t)strlen(MARK) - MARK_DIGITS;
  obs_str shown = marked ? obs_utf8_cut_str(value, most) : value;
  if (out->len > 0) obs_buf_putc(out, ',');
  obs_buf_puts(out, name);
  obs_buf_puts(out, "=\"");
  put_escaped(out, shown);
  if (marked) obs_buf_printf(out, MARK "%08" PRIx32, (uint32_t)XXH64(value.p, value.len, 0));
  obs_buf_putc(out, '"');
}

/* ---- numbers ---- */

static void put_scaled(obs_buf *out, uint64_t n, uint32_t per) {
  static const struct {
    uint32_t per;
    int digits;
  } units[] = {{1000, 3}, {1000000, 6}};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (per != units[i].per) continue;
    obs_buf_printf(out, "%" PRIu64 ".%0*" PRIu64, n / per, units[i].digits, n % per);
    return;
  }
  obs_buf_u64(out, n);
}

/* A bound as OpenMetrics wants it: the shortest form, with a point. */
static void put_bound(obs_buf *out, uint64_t n, uint32_t per) {
  char text[32];
  (void)snprintf(text, sizeof text, "%.10g", (double)n / (per > 1 ? per : 1));
  obs_buf_puts(out, text);
  if (strpbrk(text, ".e") == NULL) obs_buf_puts(out, ".0");
}

/* ---- samples ---- */

typedef struct {
  const obs_metrics_values *v;
  bool open;
  obs_buf *out;
  obs_buf labels; /* of the sample at hand */
} writer;

static void put_sample(writer *w, const char *name, const char *suffix) {
  obs_buf_puts(w->out, name);
  obs_buf_puts(w->out, suffix);
  if (w->labels.len > 0) {
    obs_buf_putc(w->out, '{');
    obs_buf_append(w->out, w->labels.p, w->labels.len);
    obs_buf_putc(w->out, '}');
  }
  obs_buf_putc(w->out, ' ');
}

/* `per` 0: the value is 1, an op. */
static void put_exemplar(writer *w, const obs_exposed_exemplar *e, uint32_t per) {
  if (!w->open || e == NULL || e->seq == 0) return;
  obs_buf_printf(w->out, " # {seq=\"%" PRIu64 "\"", e->seq);
  if (e->len > 0) {
    obs_buf_puts(w->out, ",session_id=\"");
    put_escaped(w->out, (obs_str){e->session, e->len, 0});
    obs_buf_putc(w->out, '"');
  }
  obs_buf_puts(w->out, "} ");
  if (per == 0)
    obs_buf_puts(w->out, "1.0");
  else
    put_scaled(w->out, e->ms, per);
  obs_buf_putc(w->out, ' ');
  put_scaled(w->out, (uint64_t)e->at_ms, 1000);
}

static void put_number(writer *w, const obs_metric *m, const char *at) {
  uint64_t wide;
  uint32_t narrow;
  if (m->wide) {
    memcpy(&wide, at, sizeof wide);
  } else {
    memcpy(&narrow, at, sizeof narrow);
    wide = narrow;
  }
  if (m->type == OBS_METRIC_STATE) {
    size_t before = w->labels.len;
    for (uint32_t i = 0; i < m->nstates; i++) {
      put_label(&w->labels, "state", obs_str_of(m->states[i]));
      put_sample(w, m->name, "");
      obs_buf_puts(w->out, i == wide ? "1\n" : "0\n");
      w->labels.len = before;
    }
    return;
  }
  if (m->may_lack && wide == 0) return;
  put_sample(w, m->name, "");
  put_scaled(w->out, wide, m->per);
}

static void put_histogram(writer *w, const obs_metric *m, const obs_histogram *h,
                          const obs_exposed_exemplar *exemplars) {
  uint64_t below = 0;
  size_t before = w->labels.len;
  for (uint32_t i = 0; i <= m->scale->n; i++) {
    below += h->n[i];
    if (before > 0) obs_buf_putc(&w->labels, ',');
    obs_buf_puts(&w->labels, "le=\"");
    if (i < m->scale->n)
      put_bound(&w->labels, m->scale->at[i], m->per);
    else
      obs_buf_puts(&w->labels, "+Inf");
    obs_buf_putc(&w->labels, '"');
    put_sample(w, m->name, "_bucket");
    obs_buf_u64(w->out, below);
    put_exemplar(w, exemplars != NULL ? &exemplars[i] : NULL, m->per);
    obs_buf_putc(w->out, '\n');
    w->labels.len = before;
  }
  put_sample(w, m->name, "_sum");
  put_scaled(w->out, h->sum, m->per);
  obs_buf_putc(w->out, '\n');
  put_sample(w, m->name, "_count");
  obs_buf_u64(w->out, below);
  obs_buf_putc(w->out, '\n');
}

static void put_value(writer *w, const obs_metric *m, const char *at, const obs_exposed_exemplar *exemplars) {
  size_t before = w->out->len;
  switch (m->type) {
  case OBS_METRIC_HISTOGRAM: {
    obs_histogram h;
    memcpy(&h, at, sizeof h);
    put_histogram(w, m, &h, exemplars);
    return;
  }
  case OBS_METRIC_INFO: {
    const char *labels;
    memcpy(&labels, at, sizeof labels);
    obs_buf_printf(w->out, "%s{%s} 1\n", m->name, labels);
    return;
  }
  case OBS_METRIC_STATE:
    put_number(w, m, at);
    return;
  default:
    put_number(w, m, at);
    put_exemplar(w, exemplars, 0);
    if (w->out->len > before) obs_buf_putc(w->out, '\n');
  }
}

static void put_list(writer *w, const obs_metric *m) {
  obs_metrics_list list;
  memcpy(&list, (const char *)w->v + m->list, sizeof list);
  size_t before = w->labels.len;
  for (uint32_t i = 0; i < list.n; i++) {
    const char *element = (const char *)list.at + (size_t)i * list.size;
    obs_str name, second;
    memcpy(&name, element, sizeof name);
    put_label(&w->labels, m->labels[0].name, name);
    if (m->label_in != NULL) {
      memcpy(&second, element + m->label_at, sizeof second);
      put_label(&w->labels, m->label_in, second);
    }
    put_value(w, m, element + m->at, m->exemplars != 0 ? (const obs_exposed_exemplar *)(element + m->exemplars) : NULL);
    w->labels.len = before;
  }
}

/* All samples of a row. */
static void put_row(writer *w, const obs_metric *m) {
  w->labels.len = 0;
  if (m->fixed != NULL) obs_buf_puts(&w->labels, m->fixed);
  if (m->list != 0) {
    put_list(w, m);
    return;
  }
  size_t before = w->labels.len;
  const obs_metric_label *first = &m->labels[0], *second = &m->labels[1];
  for (uint32_t i = 0; i < obs_metrics_label_values(m, 0); i++) {
    for (uint32_t k = 0; k < obs_metrics_label_values(m, 1); k++) {
      if (first->name != NULL) put_label(&w->labels, first->name, obs_str_of(first->values[i]));
      if (second->name != NULL) put_label(&w->labels, second->name, obs_str_of(second->values[k]));
      put_value(w, m, (const char *)w->v + m->at + i * first->step + k * second->step, NULL);
      w->labels.len = before;
    }
  }
}

/* ---- families ---- */

static bool ends_in(obs_str s, const char *end) {
  uint32_t n = (uint32_t)strlen(end);
  return s.len > n && memcmp(s.p + s.len - n, end, n) == 0;
}

static obs_str without(obs_str s, const char *end) {
  if (ends_in(s, end)) s.len -= (uint32_t)strlen(end);
  return s;
}

static const char *type_of(const obs_metric *m, bool open) {
  switch (m->type) {
  case OBS_METRIC_COUNTER:
    return "counter";
  case OBS_METRIC_HISTOGRAM:
    return "histogram";
  case OBS_METRIC_INFO:
    return open ? "info" : "gauge";
  default:
    return "gauge";
  }
}

static const char *unit_of(obs_str family) {
  static const char *const units[] = {"seconds", "bytes"};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (ends_in(family, units[i])) return units[i];
  return NULL;
}

static obs_str family_of(const obs_metric *m) {
  return without(without(obs_str_of(m->name), "_total"), "_info");
}

static void put_head(writer *w, const obs_metric *m) {
  obs_str family = w->open ? family_of(m) : obs_str_of(m->name);
  const char *unit = w->open ? unit_of(family) : NULL;
  obs_buf_printf(w->out, "# HELP %.*s %s\n", (int)family.len, family.p, m->help);
  obs_buf_printf(w->out, "# TYPE %.*s %s\n", (int)family.len, family.p, type_of(m, w->open));
  if (unit != NULL) obs_buf_printf(w->out, "# UNIT %.*s %s\n", (int)family.len, family.p, unit);
}

/* The next row of the family, behind row `i`; SIZE_MAX: there is none. */
static size_t next_of_family(size_t i) {
  const char *name = obs_metrics_at(i)->name;
  const obs_metric *m;
  while ((m = obs_metrics_at(++i)) != NULL)
    if (m->name != NULL && strcmp(m->name, name) == 0) return i;
  return SIZE_MAX;
}

static bool is_first(size_t i) {
  const obs_metric *m = obs_metrics_at(i);
  if (m->name == NULL) return false;
  for (size_t k = 0; k < i; k++)
    if (obs_metrics_at(k)->name != NULL && strcmp(obs_metrics_at(k)->name, m->name) == 0) return false;
  return true;
}

/* Whether the number is a member of that part of the values. */
#define IS_IN(m, part)                                                                                                 \
  ((m)->list == 0 && (m)->at >= offsetof(obs_metrics_values, part) &&                                                  \
   (m)->at < offsetof(obs_metrics_values, part) + sizeof(((obs_metrics_values *)0)->part))

/* What a fleet has. Durations are in its summary: merged ones have no buckets. Its last op has no number. */
static bool is_of_fleet(const obs_metric *m) {
  bool of_lists =
      m->list == offsetof(obs_metrics_values, sources) || m->list == offsetof(obs_metrics_values, endpoints);
  return (of_lists && m->type == OBS_METRIC_COUNTER) || IS_IN(m, fleet_view) ||
         (IS_IN(m, state) && m->at != offsetof(obs_metrics_values, state.last_seq)) || IS_IN(m, clusters);
}

static bool is_of_daemon(const obs_metric *m) {
  return !IS_IN(m, fleet_view);
}

static void put_families(const obs_metrics_values *v, bool open, bool (*is_shown)(const obs_metric *m), obs_buf *out) {
  writer w = {.v = v, .open = open, .out = out};
  for (size_t i = 0; obs_metrics_at(i) != NULL; i++) {
    if (!is_first(i) || !is_shown(obs_metrics_at(i))) continue;
    put_head(&w, obs_metrics_at(i));
    for (size_t k = i; k != SIZE_MAX; k = next_of_family(k)) put_row(&w, obs_metrics_at(k));
  }
  if (open) obs_buf_puts(out, "# EOF\n");
  out->oom = out->oom || w.labels.oom;
  obs_buf_fini(&w.labels);
}

void obs_metrics_text(const obs_metrics_values *v, bool open, obs_buf *out) {
  put_families(v, open, is_of_daemon, out);
}

void obs_metrics_fleet_text(const obs_metrics_values *v, bool open, obs_buf *out) {
  put_families(v, open, is_of_fleet, out);
}

/* ---- the printed list ---- */

void obs_metrics_print(FILE *out) {
  const obs_metric *m;
  for (size_t i = 0; (m = obs_metrics_at(i)) != NULL; i++) {
    if (!is_first(i)) continue;
    obs_str family = family_of(m);
    const char *unit = unit_of(family), *comma = "";
    fprintf(out, "%s\t%s\t%s\t", m->name, type_of(m, true), unit != NULL ? unit : "");
    if (m->fixed != NULL) {
      fprintf(out, "%.*s", (int)strcspn(m->fixed, "="), m->fixed);
      comma = ",";
    }
    for (uint32_t k = 0; k < 2 && m->labels[k].name != NULL; k++, comma = ",")
      fprintf(out, "%s%s", comma, m->labels[k].name);
    if (m->label_in != NULL) fprintf(out, "%s%s", comma, m->label_in);
    if (m->type == OBS_METRIC_STATE) fprintf(out, "%sstate", comma);
    if (m->type == OBS_METRIC_INFO) fprintf(out, "version,nng");
    fprintf(out, "\t%s\n", m->help);
  }
}
