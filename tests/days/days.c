/* Scripted days with planted causes, and days without: what the diagnosis says of each, as a table.
 *
 *   days [--fast] [--seeds N] [--first N] [--list] [WORD...]
 *
 * WORD: only the kinds whose names contain one of them. --first: the first seed, 1
 *
 * A line a day: kind, seed, what came of it (exact; MISSED: a cause is not named exactly; FALSE: all are, and something
 * else too), ops, failures, those with the planted cause, and milliseconds of the diagnosis; after a day that went
 * wrong, what was planted and what was said. Fails when less than 95 % of the days are exact or more than one in twenty
 * days without a cause has one.
 * --fast: every third kind, one seed each, and a day of each kind without a cause. */
#include "judge.h"
#include "kinds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  int first, seeds, step; /* of each kind; every step'th kind */
  char **words;
  int nwords;
  bool list;
} selection;

typedef struct {
  int days, good, causes, named, ops;
  double slowest_ms;
} tally;

static bool selected(const selection *s, const char *name) {
  for (int i = 0; i < s->nwords; i++)
    if (strstr(name, s->words[i]) != NULL) return true;
  return s->nwords == 0;
}

/* Of the kind's name: a day stays the same when kinds are added. FNV-1a. */
static uint64_t seed_of(const char *name, int seed) {
  uint64_t h = UINT64_C(14695981039346656037);
  for (; *name != '\0'; name++) h = (h ^ (uint8_t)*name) * UINT64_C(1099511628211);
  return (h << 8) + (uint64_t)seed;
}

/* Failures that meet a plant and have its error: what there is to see. */
static int planted_failures(const days_world *w) {
  int n = 0;
  for (uint32_t i = 0; i < w->nrows; i++) {
    bool seen = false;
    for (int k = 0; k < w->nplants && w->rows[i].error != DAYS_ERROR_NONE; k++)
      seen = seen || (w->rows[i].error == w->plants[k].error &&
                      days_meets(w->plants[k].conds, w->plants[k].nconds, &w->rows[i]));
    n += seen;
  }
  return n;
}

static void run_day(const days_kind *k, int seed, tally *t) {
  days_world *w = calloc(1, sizeof(*w));
  obs_diagnose_report *report = calloc(1, sizeof(*report));
  obs_buf said = {0};
  double ms;
  if (w == NULL || report == NULL) abort();
  days_world_init(w, seed_of(k->name, seed));
  k->plan(w, k);
  days_world_make(w);
  days_play(w, report, &ms);
  days_verdict v = days_judge(w, report, &said);
  t->days++;
  t->good += v.exact;
  t->causes += v.planted;
  t->named += v.named;
  t->ops += (int)w->nrows;
  if (ms > t->slowest_ms) t->slowest_ms = ms;
  printf("%-36s %4d  %-7s %7u %6llu %6d %6.0f\n", k->name, seed,
         v.exact                ? "exact"
         : v.named == v.planted ? "FALSE"
                                : "MISSED",
         w->nrows, (unsigned long long)report->failures, planted_failures(w), ms);
  if (!v.exact) printf("    %.*s\n", (int)said.len, said.p);
  fflush(stdout);
  obs_buf_fini(&said);
  days_world_fini(w);
  free(report);
  free(w);
}

static tally run_all(const days_kind *kinds, const selection *s) {
  tally t = {0};
  for (int i = 0; kinds[i].name != NULL; i++) {
    if (i % s->step != 0 || !selected(s, kinds[i].name)) continue;
    if (s->list) printf("%s\n", kinds[i].name);
    for (int seed = 0; seed < s->seeds && !s->list; seed++) run_day(&kinds[i], s->first + seed, &t);
  }
  return t;
}

static selection parse(int argc, char **argv) {
  selection s = {.first = 1, .seeds = 3, .step = 1};
  int i = 1;
  for (; i < argc && argv[i][0] == '-'; i++) {
    if (strcmp(argv[i], "--fast") == 0)
      s.step = 3;
    else if (strcmp(argv[i], "--list") == 0)
      s.list = true;
    else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
      s.seeds = atoi(argv[++i]);
    else if (strcmp(argv[i], "--first") == 0 && i + 1 < argc)
      s.first = atoi(argv[++i]);
    else {
      fputs("usage: days [--fast] [--seeds N] [--first N] [--list] [WORD...]\n", stderr);
      exit(2);
    }
  }
  if (s.step > 1) s.seeds = 1;
  s.words = argv + i;
  s.nwords = argc - i;
  return s;
}

int main(int argc, char **argv) {
  selection s = parse(argc, argv);
  if (!s.list) printf("%-36s %4s  %-7s %7s %6s %6s %6s\n", "kind", "seed", "", "ops", "failed", "its", "ms");
  tally causes = run_all(days_causes, &s);
  selection quiet = s;
  if (s.step > 1) quiet.step = 1;
  tally none = run_all(days_quiet, &quiet);
  if (s.list) return 0;
  printf("\n%d of %d days with causes exact (%d of %d causes named); %d of %d days without a cause have one; slowest "
         "diagnosis %.0f ms\n",
         causes.good, causes.days, causes.named, causes.causes, none.days - none.good, none.days,
         causes.slowest_ms > none.slowest_ms ? causes.slowest_ms : none.slowest_ms);
  bool good = causes.good * 20 >= causes.days * 19 && (none.days - none.good) * 20 <= none.days;
  return good ? 0 : 1;
}
