/* The scripted day of tests/unit/day.h as JSON lines, for tests/process/test_learning.py.
 *
 *   day_tool SEED    the first line says what is planted, the others are ops; the overseer's correction is a line
 *                    {"correction":{...}} as an overseer writes it */
#include "../unit/day.h"

#include "base/clock.h"

#include <stdlib.h>

static void print_field(const char *name, obs_str value) {
  if (value.p != NULL) printf(",\"%s\":\"%.*s\"", name, (int)value.len, value.p);
}

static void print_op(const obs_op *op) {
  char time[OBS_ISO8601_LEN + 1];
  obs_clock_format(op->time_ms, time);
  printf("{\"timestamp\":\"%s\",\"success\":%s,\"duration_ms\":%lld", time, op->success ? "true" : "false",
         (long long)op->duration_ms);
#define PRINT_FIELD(name) print_field(#name, op->name)
  PRINT_FIELD(endpoint);
  PRINT_FIELD(error);
  PRINT_FIELD(source);
  PRINT_FIELD(staffer_id);
  PRINT_FIELD(sig_hash);
  PRINT_FIELD(event_kind);
  PRINT_FIELD(role);
  PRINT_FIELD(city);
  PRINT_FIELD(state);
  PRINT_FIELD(task_class);
  puts("}");
}

static void print_correction(const obs_op *op) {
  char time[OBS_ISO8601_LEN + 1];
  obs_clock_format(op->time_ms, time);
  printf("{\"correction\":{\"created_at\":\"%s\",\"model\":\"gpt-oss:120b\"", time);
  PRINT_FIELD(task_class);
  PRINT_FIELD(sig_hash);
  PRINT_FIELD(correction);
  puts("}}");
}

static void print_script(const day *d) {
  const day_script *s = &d->script;
  printf("{\"slow\":[\"endpoint\",\"%s\"],\"staffer\":[\"staffer_id\",\"%s\"],\"task\":[\"task_class\",\"%s\"],",
         d->endpoints[s->slow_endpoint], d->staffers[s->bad_staffer], d->tasks[s->broken_task]);
  printf("\"limit\":[\"endpoint\",\"%s\"],\"regression\":[\"sig_hash\",\"%s\"],\"slow_minute\":%d}\n",
         d->endpoints[s->limited_endpoint], d->sigs[s->regressed_sig], s->slow_minute);
}

int main(int argc, char **argv) {
  static day d;
  if (argc != 2) {
    fputs("usage: day_tool SEED\n", stderr);
    return 2;
  }
  day_script script = day_planted(strtoull(argv[1], NULL, 10));
  day_begin(&d, &script);
  print_script(&d);
  for (uint32_t i = 0; i < DAY_OPS; i++) {
    obs_op op;
    if (day_correction(&d, i, &op)) print_correction(&op);
    day_op(&d, i, &op);
    print_op(&op);
  }
  return fflush(stdout) == 0 ? 0 : 1;
}
