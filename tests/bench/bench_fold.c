/* What a fleet's partitions take: ns a row of folding, memory and saved bytes of one, what saving it and putting them
 * all together takes. Each of OPS ops has an op_id, a session of 20 ops, one of 12 endpoints and 40 staffers; one in
 * FAILS failed, with one of KINDS kinds of text.
 *
 *   bench_fold OPS FAILS KINDS PARTITIONS     prints `what number` lines */
#include "base/clock.h"
#include "fleet/merge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

typedef struct {
  uint32_t ops, fails, kinds, partitions;
  int64_t now_ms;
  obs_partition **folds;
  obs_fleet_batch *batches;
  uint64_t *sent, stream_seq, folded, ns, bytes;
} bench;

static void check(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "bench_fold: %s\n", what);
  exit(1);
}

/* Bytes of memory that the process really has. */
static double resident(void) {
  unsigned long all = 0, now = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  check(f != NULL && fscanf(f, "%lu %lu", &all, &now) == 2, "/proc/self/statm");
  (void)fclose(f);
  return (double)now * (double)sysconf(_SC_PAGESIZE);
}

/* Of this thread alone: others on the machine do not count. */
static uint64_t cpu_ns(void) {
  struct timespec t;
  check(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0, "clock_gettime");
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Letters; most words of a kind are no other kind's, so that kinds stay apart. */
static void name_kind(uint64_t kind, char out[7]) {
  kind = (kind + 1) * 0x9E3779B97F4A7C15u;
  for (int i = 0; i < 6; i++, kind = kind * 0xD6E8FEB86659FD93u + 11) out[i] = (char)('a' + (kind >> 40) % 26);
  out[6] = '\0';
}

static int line_of(const bench *x, uint32_t i, char *out, size_t size) {
  char error[256] = "", a[7], b[7], c[7], d[7];
  uint32_t kind = (i / x->fails * 2654435761u >> 8) % x->kinds;
  name_kind(kind, a);
  name_kind(kind * 31 + 70000, b);
  name_kind(kind * 131 + 900000, c);
  name_kind(kind * 17 + 8000000, d);
  if (i % x->fails == 0)
    (void)snprintf(error, sizeof error, ",\"error\":\"%s: %s worker-%u lost %s of request %u %s %u ms\"", a, b, i % 7,
                   c, i, d, i % 977);
  return snprintf(
      out, size,
      "{\"timestamp\":\"2026-01-15T09:30:00.125Z\",\"endpoint\":\"/v1/e%u\",\"input_summary\":\"fill 3 pickers "
      "for the night shift\",\"success\":%s,\"duration_ms\":%u,\"output_summary\":\"3 of 3 filled\"%s,"
      "\"source\":\"%s\",\"staffer_id\":\"agent-%03u\",\"sig_hash\":\"%016x\",\"event_kind\":\"expansion\","
      "\"op_id\":\"op-%u\",\"session_id\":\"session-%u\"}",
      i % 12, i % x->fails == 0 ? "false" : "true", 20 + i * 37 % 900, error, i % 5 == 4 ? "scenario" : "mcp", i % 40,
      i / 4 * 2654435761u, i, i / 20);
}

static void send(bench *x, uint32_t p) {
  obs_fleet_batch *b = &x->batches[p];
  obs_buf message = {0};
  obs_partition_result r;
  if (obs_fleet_batch_rows(b) > 0) {
    check(obs_fleet_batch_seal(b, &message) == OBSERVER_E_OK, "no memory");
    uint64_t start = cpu_ns();
    obs_partition_fold(x->folds[p], ++x->stream_seq, message.p, message.len, x->now_ms, &r);
    x->ns += cpu_ns() - start;
    check(r.kind == OBS_PARTITION_FOLDED && r.rejected == 0, r.reason);
    x->folded += r.folded;
    x->bytes += message.len;
    x->sent[p] = b->last;
  }
  obs_buf_fini(&message);
  obs_fleet_batch_begin(b, 1, p, x->sent[p]);
}

static void fold_all(bench *x) {
  obs_batch b;
  char line[1024];
  const char *why;
  check(obs_batch_init(&b) == OBSERVER_E_OK, "no memory");
  for (uint32_t p = 0; p < x->partitions; p++) obs_fleet_batch_begin(&x->batches[p], 1, p, 0);
  for (uint32_t i = 0; i < x->ops; i++) {
    size_t len = (size_t)line_of(x, i, line, sizeof line);
    obs_batch_reset(&b);
    check(obs_batch_decode_row(&b, line, len, &why), "a row is wrong");
    uint32_t p = obs_fleet_partition(&b.ops[0], x->partitions);
    if (obs_fleet_batch_is_full(&x->batches[p], len)) send(x, p);
    check(obs_fleet_batch_add(&x->batches[p], line, len, i + 1, x->now_ms - 3600000 + (int64_t)i * 3600000 / x->ops, 0),
          "no memory");
  }
  for (uint32_t p = 0; p < x->partitions; p++) send(x, p);
  obs_batch_fini(&b);
}

static double ms_since(uint64_t start) {
  return (double)(cpu_ns() - start) / 1e6;
}

static void measure_save(const bench *x) {
  static const char *const names[] = {"view", "whole"};
  for (int form = 0; form < 2; form++) {
    obs_buf bytes = {0};
    uint64_t start = cpu_ns();
    for (uint32_t p = 0; p < x->partitions; p++)
      check(obs_partition_save(x->folds[p], (obs_partition_form)form, &bytes) == OBSERVER_E_OK, "no memory");
    double ms = ms_since(start);
    uLongf packed = compressBound(bytes.len);
    Bytef *room = malloc(packed);
    check(room != NULL && compress2(room, &packed, (const Bytef *)bytes.p, bytes.len, 1) == Z_OK, "no memory");
    printf("save_%s_ms %.2f\n%s_bytes %.0f\n%s_bytes_deflated %.0f\n", names[form], ms / x->partitions, names[form],
           (double)bytes.len / x->partitions, names[form], (double)packed / x->partitions);
    free(room);
    obs_buf_fini(&bytes);
  }
}

static void measure_merge(const bench *x) {
  obs_buf *views = calloc(x->partitions, sizeof *views), out = {0};
  obs_merge *m;
  char reason[OBS_FLEET_REASON_MAX];
  check(views != NULL, "no memory");
  for (uint32_t p = 0; p < x->partitions; p++)
    check(obs_partition_save(x->folds[p], OBS_PARTITION_VIEW, &views[p]) == OBSERVER_E_OK, "no memory");
  uint64_t start = cpu_ns();
  check(obs_merge_open(x->partitions, 2000, &m) == OBSERVER_E_OK, "no memory");
  for (uint32_t p = 0; p < x->partitions; p++)
    check(obs_merge_add(m, views[p].p, views[p].len, x->now_ms, false, x->now_ms, reason) == OBSERVER_E_OK, reason);
  printf("merge_ms %.1f\n", ms_since(start));
  start = cpu_ns();
  obs_json_writer w = obs_json_write(&out);
  obs_json_object(&w, NULL);
  obs_state_put_summary(obs_merge_state(m), x->now_ms, &w);
  obs_json_end(&w);
  obs_state_stats_json(obs_merge_state(m), true, &out);
  printf("print_ms %.1f\n", ms_since(start));
  obs_clusters_counts n;
  obs_clusters_get_counts(obs_merge_clusters(m), &n);
  printf("kinds %u\n", n.held);
  obs_merge_close(m);
  for (uint32_t p = 0; p < x->partitions; p++) obs_buf_fini(&views[p]);
  free(views);
  obs_buf_fini(&out);
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: bench_fold OPS FAILS KINDS PARTITIONS\n");
    return 2;
  }
  uint32_t n[4];
  for (int i = 0; i < 4; i++) n[i] = (uint32_t)strtoul(argv[i + 1], NULL, 10);
  bench x = {.ops = n[0], .fails = n[1], .kinds = n[2], .partitions = n[3], .now_ms = obs_clock_wall_ms()};
  check(x.fails > 0 && x.kinds > 0 && x.partitions > 0, "each is at least 1");
  x.folds = calloc(x.partitions, sizeof(obs_partition *));
  x.batches = calloc(x.partitions, sizeof *x.batches);
  x.sent = calloc(x.partitions, sizeof *x.sent);
  check(x.folds != NULL && x.batches != NULL && x.sent != NULL, "no memory");
  double before = resident();
  for (uint32_t p = 0; p < x.partitions; p++) {
    const obs_partition_opts opts = {.p = p, .partitions = x.partitions};
    check(obs_partition_open(&opts, &x.folds[p]) == OBSERVER_E_OK, "no memory");
  }
  printf("empty_bytes %.0f\n", (resident() - before) / x.partitions);
  fold_all(&x);
  printf("resident_bytes %.0f\n", (resident() - before) / x.partitions);
  check(x.folded == x.ops, "not all were folded");
  for (uint32_t p = 0; p < x.partitions; p++) obs_fleet_batch_fini(&x.batches[p]);
  printf("fold_ns %.1f\nmessage_bytes_a_row %.1f\n", (double)x.ns / x.ops, (double)x.bytes / x.ops);
  measure_save(&x);
  measure_merge(&x);
  for (uint32_t p = 0; p < x.partitions; p++) obs_partition_close(x.folds[p]);
  free(x.folds);
  free(x.batches);
  free(x.sent);
  return 0;
}
