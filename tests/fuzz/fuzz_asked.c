/* What daemons of a fleet get from each other: the first byte says whether it is a question, a cursor, an edge's page
 * or what an edge has gathered. A question that is taken is plain text below /v1/observer/; a page that is taken
 * becomes an answer that is JSON, whose cursor is one. */
#include "base/json_cursor.h"
#include "fleet/rows.h"
#include "timeline/gathered.h"

#include "fuzz.h"

static void ask(const char *data, size_t size) {
  char target[OBS_FLEET_ASK_TARGET + 1];
  if (obs_fleet_ask_read(data, size, "e1", target) != OBS_FLEET_ASK_MINE) return;
  FUZZ_CHECK(strncmp(target, "/v1/observer/", 13) == 0 && strlen(target) <= OBS_FLEET_ASK_TARGET);
  for (const char *p = target; *p != '\0'; p++) FUZZ_CHECK(*p > ' ' && *p < 0x7f && *p != '#' && *p != '"');
  const char *query = strchr(target, '?'), *climb = strstr(target, "..");
  FUZZ_CHECK(climb == NULL || (query != NULL && query < climb));
}

static void go_on(const char *data, size_t size) {
  obs_fleet_rows *rows = obs_fleet_rows_open("ops");
  obs_fleet_question q = {.subject = OBS_FLEET_ASK_EDGES};
  FUZZ_CHECK(rows != NULL);
  if (obs_fleet_rows_go_on(rows, (obs_str){data, (uint32_t)size, 0})) {
    obs_fleet_rows_ask(rows, &q);
    FUZZ_CHECK(q.only && q.nmembers > 0 && q.nmembers <= OBS_FLEET_ASK_MEMBERS);
  }
  obs_fleet_rows_close(rows);
}

static void merge(const char *data, size_t size) {
  obs_fleet_rows *rows = obs_fleet_rows_open("ops");
  const obs_fleet_reply own = {"a1", 200,
                               OBS_STR("{\"ops\":[{\"at\":5,\"from\":\"a1\",\"seq\":1}],\"next_cursor\":null}")};
  const obs_fleet_reply reply = {"b2", 200, {data, (uint32_t)size, 0}};
  const obs_page page = {.limit = 100};
  obs_buf out = {0};
  obs_json_cursor_shape shape = {.valid = true};
  FUZZ_CHECK(rows != NULL);
  obs_fleet_rows_take(rows, &own);
  obs_fleet_rows_take(rows, &reply);
  obs_json_writer w = obs_json_write(&out);
  obs_json_object(&w, NULL);
  FUZZ_CHECK(obs_fleet_rows_put(rows, &page, &w) == OBSERVER_E_OK);
  obs_json_end(&w);
  obs_cursor c = obs_cursor_of(out.p, out.len);
  FUZZ_CHECK(obs_json_cursor_scan(&c, &shape) && c.p == c.end && shape.valid);
  obs_buf_fini(&out);
  obs_fleet_rows_close(rows);
}

static void gather(const char *data, size_t size) {
  obs_gather_result g = {.matched = 0};
  obs_gathered_end end;
  obs_cursor c = obs_cursor_of(data, size);
  bool no_memory = false;
  if (obs_gathered_take(&c, UINT64_C(1) << 44, &g, &end, &no_memory)) {
    obs_gathered_sort(&g);
    for (uint32_t i = 0; i < g.ops.n; i++)
      FUZZ_CHECK(g.ops.at[i].seq >> 44 == 1 && g.ops.at[i].start_ms <= g.ops.at[i].end_ms);
  }
  FUZZ_CHECK(!no_memory);
  obs_gather_fini(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static void (*const each[])(const char *data, size_t size) = {ask, go_on, merge, gather};
  if (size > 0) each[data[0] % 4]((const char *)data + 1, size - 1);
  return 0;
}
