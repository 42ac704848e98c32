#include "fleet/edge_state.h"

#include "base/json.h"
#include "base/log.h"
#include "base/row.h"
#include "jsonl/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

/* Both files are one JSON object:
 *   edge      {"v":1,"edge":"<16 hexadecimal digits>"}
 *   forward   {"v":1,"edge":...,"stream":"<16 hexadecimal digits: its id>","low":n,"seqs":[...],"stream_seqs":[...]} */
enum { VERSION = 1, FILE_MAX = 64 << 10 };
static const char edge_file[] = "edge", forward_file[] = "forward";

static cJSON *read_file(int dir, const char *name, observer_err *err) {
  obs_buf text = {0};
  uint64_t version;
  cJSON *row = NULL;
  *err = obs_file_read_all(dir, name, FILE_MAX, &text);
  if (*err == OBSERVER_E_OK) {
    row = cJSON_ParseWithLength(text.p, text.len);
    if (!obs_row_u64(row, "v", &version) || version != VERSION) {
      cJSON_Delete(row);
      row = NULL;
      *err = OBSERVER_E_CORRUPT;
    }
  }
  obs_buf_fini(&text);
  return row;
}

static bool write_edge(int dir, uint64_t edge) {
  obs_buf text = {0};
  obs_json_writer w = obs_json_write(&text);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "v", VERSION);
  obs_json_id(&w, "edge", edge);
  obs_json_end(&w);
  obs_buf_putc(&text, '\n');
  bool ok = !text.oom && obs_file_replace(dir, edge_file, &text, true);
  obs_buf_fini(&text);
  return ok;
}

static bool read_positions(const cJSON *row, obs_edge_state *s) {
  const cJSON *seqs = cJSON_GetObjectItemCaseSensitive(row, "seqs");
  const cJSON *stream_seqs = cJSON_GetObjectItemCaseSensitive(row, "stream_seqs");
  if (cJSON_GetArraySize(seqs) != OBS_FLEET_PARTITIONS || cJSON_GetArraySize(stream_seqs) != OBS_FLEET_PARTITIONS)
    return false;
  const cJSON *a = seqs->child, *b = stream_seqs->child;
  for (uint32_t i = 0; i < OBS_FLEET_PARTITIONS; i++, a = a->next, b = b->next) {
    if (!cJSON_IsNumber(a) || !cJSON_IsNumber(b) || a->valuedouble < 0 || b->valuedouble < 0) return false;
    s->known[i] = (obs_position){(uint64_t)a->valuedouble, (uint64_t)b->valuedouble}; /* exact up to 2^53 */
  }
  return true;
}

/* False: it is not there, or of no use. */
static bool read_forward(int dir, obs_edge_state *s) {
  observer_err err;
  uint64_t edge = 0;
  cJSON *row = read_file(dir, forward_file, &err);
  bool ok = obs_row_id(row, "edge", &edge) && edge == s->edge && obs_row_id(row, "stream", &s->stream_id) &&
            obs_row_u64(row, "low", &s->low) && read_positions(row, s);
  cJSON_Delete(row);
  return ok;
}

static bool is_ahead(const obs_edge_state *s, uint64_t next_seq) {
  bool ahead = s->low >= next_seq;
  for (uint32_t i = 0; i < OBS_FLEET_PARTITIONS; i++) ahead = ahead || s->known[i].seq >= next_seq;
  return ahead;
}

static observer_err load(obs_edge_state *s, int dir, uint64_t next_seq) {
  observer_err err;
  cJSON *row = read_file(dir, edge_file, &err);
  bool known = obs_row_id(row, "edge", &s->edge) && s->edge != 0;
  cJSON_Delete(row);
  /* Another id would have all that was forwarded counted once more. */
  if (!known && err != OBSERVER_E_NOTFOUND) return err != OBSERVER_E_OK ? err : OBSERVER_E_CORRUPT;
  if (known && !read_forward(dir, s)) *s = (obs_edge_state){.edge = s->edge};
  if (known && !is_ahead(s, next_seq)) return OBSERVER_E_OK;
  if (known)
    obs_log_warn("fleet",
                 "the journal goes on at seq %" PRIu64 ", and seq %" PRIu64
                 " was forwarded before: it has begun anew, and so does this edge",
                 next_seq, s->low);
  *s = (obs_edge_state){0};
  while (s->edge == 0)
    if (getrandom(&s->edge, sizeof(s->edge), 0) != (ssize_t)sizeof(s->edge)) return OBSERVER_E_IO;
  return write_edge(dir, s->edge) ? OBSERVER_E_OK : obs_file_err(errno);
}

observer_err obs_edge_state_load(obs_edge_state *s, const char *dir, uint64_t next_seq, char *error, size_t size) {
  *s = (obs_edge_state){0};
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  observer_err err = fd >= 0 ? load(s, fd, next_seq) : obs_file_err(errno);
  if (err != OBSERVER_E_OK)
    (void)snprintf(error, size, "forward: %s/%s: %s%s", dir, edge_file, observer_strerror(err),
                   err == OBSERVER_E_CORRUPT ? "; without it this is a new edge, which forwards all of its journal"
                                             : "");
  if (fd >= 0) (void)close(fd);
  return err;
}

void obs_edge_state_save(const obs_edge_state *s, const char *dir) {
  uint64_t numbers[OBS_FLEET_PARTITIONS];
  obs_buf text = {0};
  obs_json_writer w = obs_json_write(&text);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "v", VERSION);
  obs_json_id(&w, "edge", s->edge);
  obs_json_id(&w, "stream", s->stream_id);
  obs_json_u64(&w, "low", s->low);
  for (uint32_t i = 0; i < OBS_FLEET_PARTITIONS; i++) numbers[i] = s->known[i].seq;
  obs_json_u64s(&w, "seqs", numbers, OBS_FLEET_PARTITIONS);
  for (uint32_t i = 0; i < OBS_FLEET_PARTITIONS; i++) numbers[i] = s->known[i].stream_seq;
  obs_json_u64s(&w, "stream_seqs", numbers, OBS_FLEET_PARTITIONS);
  obs_json_end(&w);
  obs_buf_putc(&text, '\n');
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  /* Not synced: after a power cut an older one, or none, costs reading. */
  if (text.oom || fd < 0 || !obs_file_replace(fd, forward_file, &text, false))
    obs_log_warn("fleet", "cannot write %s/%s: %s", dir, forward_file, strerror(errno));
  if (fd >= 0) (void)close(fd);
  obs_buf_fini(&text);
}
