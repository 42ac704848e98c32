/* A saved partition of a fleet, from behind its magic number to before its checksum, which are put around the input:
 * who sends it knows of both. What can be read can be merged and shown; what can be loaded is saved as what can be
 * loaded again, with the same counts. */
#include "cluster/cluster_json.h"
#include "fleet/merge.h"

#include "fuzz.h"

#include <zlib.h>

enum { MAGIC = 0x5053424f };
static const int64_t now_ms = INT64_C(1795000000000);

static bool put_row(void *writer, const obs_cluster_view *x) {
  obs_cluster_view_json(writer, x, OBS_CLUSTER_WHOLE);
  return true;
}

static void show(obs_merge *m) {
  obs_buf out = {0};
  obs_page_end end;
  const obs_clusters_filter all = {.state = -1, .since_ms = INT64_MIN, .page = {.limit = 100}};
  obs_json_writer w = obs_json_write(&out);
  obs_json_object(&w, NULL);
  obs_merge_put_cluster(m, now_ms, &w);
  obs_state_put_summary(obs_merge_state(m), now_ms, &w);
  obs_json_array(&w, "clusters");
  FUZZ_CHECK(obs_clusters_each(obs_merge_clusters(m), &all, now_ms, put_row, &w, &end) == OBSERVER_E_OK);
  obs_json_end(&w);
  obs_json_end(&w);
  obs_state_stats_json(obs_merge_state(m), true, &out);
  FUZZ_CHECK(!out.oom && end.total <= 8192);
  obs_buf_fini(&out);
}

static void merge(const obs_buf *bytes, const obs_partition_saved *x) {
  obs_merge *m;
  char reason[OBS_FLEET_REASON_MAX] = "";
  FUZZ_CHECK(obs_merge_open(x->opts.partitions, 50, &m) == OBSERVER_E_OK);
  observer_err err = obs_merge_add(m, bytes->p, bytes->len, now_ms, false, now_ms, reason);
  FUZZ_CHECK((err == OBSERVER_E_OK) == (reason[0] == '\0'));
  show(m);
  obs_merge_close(m);
}

static void load(const obs_buf *bytes, const obs_partition_saved *x) {
  obs_partition *p, *q;
  obs_buf again = {0};
  char reason[OBS_FLEET_REASON_MAX] = "";
  obs_partition_opts opts = x->opts;
  opts.dedupe = 100;
  FUZZ_CHECK(obs_partition_open(&opts, &p) == OBSERVER_E_OK);
  if (obs_partition_load(p, bytes->p, bytes->len, now_ms, reason) == OBSERVER_E_OK) {
    obs_partition_counts a, b;
    FUZZ_CHECK(obs_partition_save(p, OBS_PARTITION_WHOLE, &again) == OBSERVER_E_OK);
    FUZZ_CHECK(obs_partition_open(&opts, &q) == OBSERVER_E_OK);
    FUZZ_CHECK(obs_partition_load(q, again.p, again.len, now_ms, reason) == OBSERVER_E_OK);
    obs_partition_get_counts(p, &a);
    obs_partition_get_counts(q, &b);
    FUZZ_CHECK(a.folded == b.folded && a.stream_seq == b.stream_seq && a.edges == b.edges && a.bytes == b.bytes);
    obs_partition_close(q);
  } else {
    FUZZ_CHECK(reason[0] != '\0');
  }
  obs_partition_close(p);
  obs_buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const uint32_t magic = MAGIC;
  obs_buf bytes = {0};
  obs_partition_saved x;
  char reason[OBS_FLEET_REASON_MAX];
  obs_buf_append(&bytes, &magic, sizeof magic);
  obs_buf_append(&bytes, data, size);
  uint32_t crc = (uint32_t)crc32_z(0, (const Bytef *)bytes.p, bytes.len);
  obs_buf_append(&bytes, &crc, sizeof crc);
  if (obs_partition_read(bytes.p, bytes.len, &x, reason)) {
    /* Room for very many costs memory and says nothing more. */
    bool small = x.opts.clusters <= 1000 && x.opts.endpoints <= 2000 && x.opts.sources <= 2000 && x.opts.newest <= 5000;
    if (small) merge(&bytes, &x);
    if (small) load(&bytes, &x);
  } else {
    FUZZ_CHECK(reason[0] != '\0');
  }
  obs_buf_fini(&bytes);
  return 0;
}
