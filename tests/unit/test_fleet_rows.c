/* What daemons of a fleet ask each other: which questions are taken, how edges' pages become one list, and that a walk
 * over them gives each row once, whatever its pages' length, also when edges are away for a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "bridge/kept.h"
#include "fleet/rows.h"
#include "timeline/gathered.h"

/* ---- questions ---- */

static obs_fleet_asked ask(const char *body, char target[OBS_FLEET_ASK_TARGET + 1]) {
  return obs_fleet_ask_read(body, strlen(body), "e1", target);
}

static void test_takes_questions(void **state) {
  static const struct {
    const char *body, *target;
  } good[] = {
      {"{\"v\":1,\"target\":\"/v1/observer/ops\"}", "/v1/observer/ops"},
      {" { \"x\" : [1,{}] , \"target\" : \"/v1/observer/ops?limit=2&q=a%20b\" , \"v\" : 1 } ",
       "/v1/observer/ops?limit=2&q=a%20b"},
      {"{\"v\":1,\"target\":\"/v1/observer/ops\",\"for\":{\"e0\":\"\",\"e1\":\"cursor=a7\"}}",
       "/v1/observer/ops?cursor=a7"},
      {"{\"for\":{\"e1\":\"cursor=a7\"},\"v\":1,\"target\":\"/v1/observer/ops?limit=2\"}",
       "/v1/observer/ops?limit=2&cursor=a7"},
      {"{\"v\":1,\"target\":\"/v1/observer/ops\",\"for\":{\"e1\":\"\"}}", "/v1/observer/ops"},
  };
  static const char *const others[] = {
      "{\"v\":1,\"target\":\"/v1/observer/ops\",\"for\":{}}",
      "{\"v\":1,\"target\":\"/v1/observer/ops\",\"for\":{\"e2\":\"cursor=a7\"}}",
  };
  static const char *const wrong[] = {
      "",
      "{",
      "{}",
      "null",
      "{\"v\":1}",
      "{\"v\":1,\"target\":\"/v1/observer/ops\"",
      "{\"v\":\"1\",\"target\":\"/v1/observer/ops\"}",
      "{\"v\":2,\"target\":\"/v1/observer/ops\"}",
      "{\"v\":1,\"target\":\"/v1/observer/\"}",
      "{\"v\":1,\"target\":\"/observer/ops\"}",
      "{\"v\":1,\"target\":\"/v1/observer/../ops\"}",
      "{\"v\":1,\"target\":\"/v1/observer/%2e./ops\"}",
      "{\"v\":1,\"target\":\"/v1/observer/o//ps\"}",
      "{\"v\":1,\"target\":\"/v1/observer/.ops\"}",
      "{\"v\":1,\"target\":\"/v1/observer/ops?a b\"}",
      "{\"v\":1,\"target\":\"/v1/observer/ops?a\\nb\"}",
      "{\"v\":1,\"target\":\"/v1/observer/ops?a\\u0041\"}",
      "{\"v\":1,\"target\":\"/v1/observer/ops?a\x7f\"}",
      "{\"v\":1,\"target\":\"/v1/observer/ops?a\xc3\xa9\"}",
      "{\"v\":1,\"target\":\"/v1/observer/ops#a\"}",
      "{\"v\":1,\"target\":\"/v1/observer/ops\",\"for\":[]}",
      "{\"v\":1,\"target\":\"/v1/observer/ops\",\"for\":{\"e1\":7}}",
      "{\"v\":1,\"target\":\"/v1/observer/ops\",\"for\":{\"e1\":\"a&b=c\"}}",
      "{\"v\":1,\"target\":\"/v1/observer/ops\",\"for\":{\"e1\":\"a%20\"}}",
      "{\"v\":1,\"target\":\"/v1/observer/ops\",\"for\":{},\"for\":{\"e1\":\"\"}}",
  };
  char target[OBS_FLEET_ASK_TARGET + 1];
  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_int_equal(ask(good[i].body, target), OBS_FLEET_ASK_MINE);
    assert_string_equal(target, good[i].target);
  }
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    assert_int_equal(ask(others[i], target), OBS_FLEET_ASK_OTHERS);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    if (ask(wrong[i], target) != OBS_FLEET_ASK_WRONG) fail_msg("was taken: %s", wrong[i]);
}

/* A target may be as long as that, with what is added to it. */
static void test_bounds_targets(void **state) {
  char target[OBS_FLEET_ASK_TARGET + 1];
  obs_buf body = {0};
  (void)state;
  for (int over = 0; over < 2; over++) {
    obs_buf_reset(&body, SIZE_MAX);
    obs_buf_puts(&body, "{\"v\":1,\"for\":{\"e1\":\"cursor=a7\"},\"target\":\"/v1/observer/ops?q=");
    for (size_t n = strlen("/v1/observer/ops?q=") + strlen("&cursor=a7"); n < OBS_FLEET_ASK_TARGET + (size_t)over; n++)
      obs_buf_putc(&body, 'x');
    obs_buf_puts(&body, "\"}");
    assert_int_equal(obs_fleet_ask_read(body.p, body.len, "e1", target),
                     over ? OBS_FLEET_ASK_WRONG : OBS_FLEET_ASK_MINE);
    if (!over) assert_int_equal(strlen(target), OBS_FLEET_ASK_TARGET);
  }
  obs_buf_fini(&body);
}

/* ---- pages of edges ---- */

/* An edge with `n` rows, numbered from 1, received `step` ms apart from `from` on. */
typedef struct {
  const char *who;
  uint64_t n;
  int64_t from, step;
  bool away;
} edge;

static uint64_t number_of(const char *more) {
  return more != NULL ? strtoull(more + strlen("cursor=a"), NULL, 16) : UINT64_MAX;
}

/* The page that the edge gives below `before`, of at most `limit` rows. */
static void put_edge_page(const edge *e, uint64_t before, uint32_t limit, obs_buf *out) {
  char cursor[32] = "";
  obs_json_writer w = obs_json_write(out);
  uint64_t seq = before > e->n ? e->n : before - 1;
  obs_json_object(&w, NULL);
  obs_json_array(&w, "ops");
  for (uint32_t k = 0; k < limit && seq > 0; k++, seq--) {
    (void)snprintf(cursor, sizeof cursor, "a%llx", (unsigned long long)seq + 1);
    obs_json_object(&w, NULL);
    obs_fleet_rows_put_place(&w, e->from + (int64_t)seq * e->step, cursor);
    (void)snprintf(cursor, sizeof cursor, "a%llx", (unsigned long long)seq);
    obs_json_u64(&w, "seq", seq);
    obs_json_raw(&w, "op", OBS_STR("{\"q\":\"}],\\\"\"}"));
    obs_json_end(&w);
  }
  obs_json_end(&w);
  obs_json_cstr(&w, "next_cursor", seq > 0 ? cursor : NULL);
  obs_json_bool(&w, "complete", true);
  obs_json_end(&w);
}

/* One page of the fleet's list behind `cursor`, into `out`; each edge gives at most `most` rows. */
static void put_page(const edge *edges, size_t n, const char *cursor, uint32_t limit, uint32_t most, obs_buf *out) {
  obs_fleet_rows *rows = obs_fleet_rows_open("ops");
  obs_fleet_question q = {.subject = OBS_FLEET_ASK_EDGES};
  const obs_page page = {.limit = limit};
  obs_json_writer w = obs_json_write(out);
  assert_non_null(rows);
  if (cursor != NULL) assert_true(obs_fleet_rows_go_on(rows, obs_str_of(cursor)));
  for (size_t i = 0; i < n; i++) assert_true(obs_fleet_rows_expect(rows, edges[i].who, edges[i].away));
  obs_fleet_rows_ask(rows, &q);
  assert_int_equal(q.only, cursor != NULL);
  for (uint32_t i = 0; i < q.nmembers; i++) {
    obs_buf body = {0};
    size_t k = 0;
    while (strcmp(edges[k].who, q.members[i].who) != 0) k++;
    put_edge_page(&edges[k], number_of(q.members[i].more), most, &body);
    const obs_fleet_reply reply = {edges[k].who, edges[k].away ? 0 : 200, obs_buf_view(&body)};
    obs_fleet_rows_take(rows, &reply);
    obs_buf_fini(&body);
  }
  obs_json_object(&w, NULL);
  assert_int_equal(obs_fleet_rows_put(rows, &page, &w), OBSERVER_E_OK);
  obs_json_end(&w);
  obs_buf_putc(out, '\0');
  obs_fleet_rows_close(rows);
}

/* Each `{"edge":"E","at"?...,"seq":N` of the page, in order, to `seen`: E's place and N. Returns how many. */
typedef struct {
  size_t edge;
  uint64_t seq;
} seen_row;

static size_t read_page(const char *text, const edge *edges, size_t n, seen_row *out) {
  size_t count = 0;
  for (const char *p = text; (p = strstr(p, "{\"edge\":\"")) != NULL; p++) {
    char who[40];
    unsigned long long seq;
    assert_int_equal(sscanf(p, "{\"edge\":\"%39[^\"]\",\"seq\":%llu,", who, &seq), 2);
    size_t k = 0;
    while (k < n && strcmp(edges[k].who, who) != 0) k++;
    assert_true(k < n);
    out[count++] = (seen_row){k, seq};
  }
  return count;
}

/* *cursor: of the next page; false: there is none. */
static bool read_cursor(const char *text, char *cursor, size_t size) {
  static const char name[] = "\"next_cursor\":\"";
  const char *p = strstr(text, name);
  if (p == NULL) return false;
  p += sizeof name - 1;
  assert_true((size_t)snprintf(cursor, size, "%.*s", (int)strcspn(p, "\""), p) < size);
  return true;
}

enum { ROWS = 400, PAGES = 600 };

/* A whole walk; `away[page]` is the edge that is away then, -1: none. Rows recorded after it began are not in it. */
static size_t walk(edge *edges, size_t n, uint32_t limit, uint32_t most, const int *away, bool grows, seen_row *seen) {
  static char cursor[8192];
  size_t count = 0;
  bool more = false;
  for (int page = 0; page == 0 || more; page++) {
    obs_buf text = {0};
    assert_true(page < PAGES);
    for (size_t i = 0; i < n; i++) edges[i].away = away != NULL && page < 8 && away[page] == (int)i;
    put_page(edges, n, page > 0 ? cursor : NULL, limit, most, &text);
    size_t got = read_page(text.p, edges, n, seen + count);
    assert_true(got <= limit);
    count += got;
    more = read_cursor(text.p, cursor, sizeof cursor);
    for (size_t i = 0; grows && i < n; i++) edges[i].n += 3;
    obs_buf_fini(&text);
  }
  return count;
}

static void check_all(const edge *edges, const uint64_t *n_of, size_t n, const seen_row *seen, size_t count,
                      bool ordered) {
  size_t total = 0;
  for (size_t k = 0; k < n; k++) {
    uint64_t next = n_of[k];
    for (size_t i = 0; i < count; i++) {
      if (seen[i].edge != k) continue;
      assert_int_equal(seen[i].seq, next--); /* an edge's own keep their order, without holes */
    }
    assert_int_equal(next, 0);
    total += n_of[k];
  }
  assert_int_equal(count, total);
  for (size_t i = 1; ordered && i < count; i++) {
    const edge *a = &edges[seen[i - 1].edge], *b = &edges[seen[i].edge];
    assert_true(a->from + (int64_t)seen[i - 1].seq * a->step >= b->from + (int64_t)seen[i].seq * b->step);
  }
}

static void test_walks(void **state) {
  static const uint64_t n_of[] = {50, 0, 31, 1};
  static seen_row seen[ROWS];
  (void)state;
  for (uint32_t limit = 1; limit < 40; limit += limit < 8 ? 1 : 7) {
    for (uint32_t most = 1; most < 40; most += most < 4 ? 1 : 12) {
      edge edges[] = {
          {"a1", 50, 1000, 10, false}, {"b2", 0, 0, 1, false}, {"c3", 31, 1200, 7, false}, {"d4", 1, 5, 1, false}};
      size_t count = walk(edges, 4, limit, most, NULL, true, seen);
      edges[1].n = 0;
      check_all(edges, n_of, 4, seen, count, true);
    }
  }
}

/* One is away for a page: it is taken up where it was left, and still each row comes once. */
static void test_edges_that_are_away(void **state) {
  static const uint64_t n_of[] = {50, 40};
  static const int away[][8] = {{1, -1, -1, -1, -1, -1, -1, -1},
                                {-1, 1, -1, -1, -1, -1, -1, -1},
                                {0, 1, 0, 1, -1, -1, -1, -1},
                                {-1, 0, 0, 0, 1, -1, -1, -1}};
  static seen_row seen[ROWS];
  (void)state;
  for (size_t i = 0; i < sizeof away / sizeof *away; i++) {
    edge edges[] = {{"a1", 50, 1000, 10, false}, {"b2", 40, 1000, 11, false}};
    size_t count = walk(edges, 2, 9, 9, away[i], false, seen);
    check_all(edges, n_of, 2, seen, count, false);
  }
}

static void test_says_who_is_missing(void **state) {
  edge edges[] = {{"a1", 2, 1000, 10, false}, {"b2", 40, 1000, 11, true}};
  obs_buf text = {0};
  (void)state;
  put_page(edges, 2, NULL, 9, 9, &text);
  assert_non_null(
      strstr(text.p, "\"cluster\":{\"edges\":[\"a1\"],\"missing\":[\"b2\"]},\"next_cursor\":null,\"complete\":false}"));
  obs_buf_fini(&text);
}

/* A page that does not hold together is as if it were missing. */
static void test_broken_pages(void **state) {
  static const char *const bodies[] = {"",
                                       "{",
                                       "[]",
                                       "{}",
                                       "{\"ops\":[]}",
                                       "{\"next_cursor\":null}",
                                       "{\"ops\":{},\"next_cursor\":null}",
                                       "{\"ops\":[],\"ops\":[],\"next_cursor\":null}",
                                       "{\"ops\":[],\"next_cursor\":7}",
                                       "{\"ops\":[],\"next_cursor\":\"\"}",
                                       "{\"ops\":[],\"next_cursor\":\"A\"}",
                                       "{\"ops\":[],\"next_cursor\":\"a_b\"}",
                                       "{\"ops\":[{}],\"next_cursor\":null}",
                                       "{\"ops\":[{\"at\":1,\"from\":\"a\"}],\"next_cursor\":null}",
                                       "{\"ops\":[{\"from\":\"a\",\"at\":1,\"seq\":1}],\"next_cursor\":null}",
                                       "{\"ops\":[{\"at\":\"1\",\"from\":\"a\",\"seq\":1}],\"next_cursor\":null}",
                                       "{\"ops\":[{\"at\":1,\"from\":\"\",\"seq\":1}],\"next_cursor\":null}",
                                       "{\"ops\":[{\"at\":1,\"from\":\"a\",\"seq\":1},],\"next_cursor\":null}",
                                       "{\"ops\":[{\"at\":1,\"from\":\"a\",\"seq\":\"\xff\"}],\"next_cursor\":null}",
                                       "{\"ops\":[{\"at\":1,\"from\":\"a\",\"seq\":1}],\"next_cursor\":null"};
  (void)state;
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    obs_fleet_rows *rows = obs_fleet_rows_open("ops");
    const obs_fleet_reply reply = {"a1", 200, obs_str_of(bodies[i])};
    assert_non_null(rows);
    obs_fleet_rows_take(rows, &reply);
    if (obs_fleet_rows_answered(rows) != 0) fail_msg("was taken: %s", bodies[i]);
    obs_fleet_rows_close(rows);
  }
}

static void test_refuses_cursors(void **state) {
  static const char *const wrong[] = {"",          "ops",        "ops-",       "sessions-a1.a7",  "ops-a1",
                                      "ops-.a7",   "ops-a1.a7_", "ops-_a1.a7", "ops-a1.a7_a1.a7", "ops-b1.a7_a1.a7",
                                      "ops-A1.a7", "ops-a1.a 7", "ops-a1.A7",  "ops-a/1.a7",      "ops-a1.a7&x=1"};
  obs_buf longer = {0};
  (void)state;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    obs_fleet_rows *rows = obs_fleet_rows_open("ops");
    if (obs_fleet_rows_go_on(rows, obs_str_of(wrong[i]))) fail_msg("was taken: %s", wrong[i]);
    obs_fleet_rows_close(rows);
  }
  for (int extra = 0; extra < 2; extra++) { /* so many edges, and one more */
    obs_fleet_rows *rows = obs_fleet_rows_open("ops");
    obs_buf_reset(&longer, SIZE_MAX);
    obs_buf_puts(&longer, "ops-");
    for (int i = 0; i < OBS_FLEET_ASK_MEMBERS + extra; i++) obs_buf_printf(&longer, "%s%04x.a7", i > 0 ? "_" : "", i);
    assert_int_equal(obs_fleet_rows_go_on(rows, obs_buf_view(&longer)), extra == 0);
    obs_fleet_rows_close(rows);
  }
  obs_buf_fini(&longer);
}

/* What is wrong with the question is told in an edge's own words. */
static void test_faults(void **state) {
  obs_fleet_rows *rows = obs_fleet_rows_open("ops");
  const obs_fleet_reply replies[] = {{"a1", 503, OBS_STR("{\"error\":\"busy\"}")},
                                     {"b2", 400, OBS_STR("{\"error\":\"limit\"}\n")},
                                     {"c3", 400, OBS_STR("no JSON")}};
  uint16_t status;
  (void)state;
  for (size_t i = 0; i < 3; i++) obs_fleet_rows_take(rows, &replies[i]);
  obs_str fault = obs_fleet_rows_fault(rows, &status);
  assert_int_equal(status, 400);
  assert_true(obs_str_is(fault, "{\"error\":\"limit\"}"));
  assert_int_equal(obs_fleet_rows_answered(rows), 0);
  obs_fleet_rows_close(rows);
}

/* ---- lists that are kept ---- */

static void fill(obs_kept_list *l, int n) {
  for (int i = 0; i < n; i++) {
    obs_buf_printf(&l->rows, "{\"i\":%d}", i);
    assert_true(obs_kept_end_row(l));
  }
  obs_buf_puts(&l->members, "\"total\":7");
}

static void test_kept_pages(void **state) {
  obs_kept *k = obs_kept_open();
  obs_kept_list l = {.cut = false};
  const obs_page page = {.limit = 3};
  obs_buf out = {0};
  char cursor[OBS_KEPT_CURSOR], first[OBS_KEPT_CURSOR];
  (void)state;
  fill(&l, 7);
  obs_json_writer w = obs_json_write(&out);
  obs_json_object(&w, NULL);
  obs_kept_begin(k, &l, "rows", &page, 1000, &w);
  obs_json_end(&w);
  obs_buf_putc(&out, '\0');
  assert_int_equal(strncmp(out.p, "{\"rows\":[{\"i\":0},{\"i\":1},{\"i\":2}],\"total\":7,\"complete\":true,", 60), 0);
  assert_true(read_cursor(out.p, cursor, sizeof cursor));
  memcpy(first, cursor, sizeof first);
  out.len = 0;
  w = obs_json_write(&out);
  obs_json_object(&w, NULL);
  assert_true(obs_kept_go_on(k, obs_str_of(cursor), "rows", &page, 1000 + OBS_KEPT_MS - 1, &w));
  obs_buf_putc(&out, '\0');
  assert_non_null(strstr(out.p, "[{\"i\":3},{\"i\":4},{\"i\":5}]"));
  assert_true(read_cursor(out.p, cursor, sizeof cursor));
  out.len = 0;
  w = obs_json_write(&out);
  obs_json_object(&w, NULL);
  assert_true(obs_kept_go_on(k, obs_str_of(cursor), "rows", &page, 1000 + 2 * OBS_KEPT_MS - 2, &w));
  obs_buf_putc(&out, '\0');
  assert_non_null(strstr(out.p, "[{\"i\":6}],\"total\":7,\"complete\":true,\"next_cursor\":null"));
  assert_false(obs_kept_go_on(k, obs_str_of(first), "rows", &page, 1000 + 4 * OBS_KEPT_MS, &w)); /* too late */
  obs_buf_fini(&out);
  obs_kept_close(k);
}

/* More lists than there is room for: the one that was asked for least lately makes way. */
static void test_kept_lists(void **state) {
  obs_kept *k = obs_kept_open();
  const obs_page page = {.limit = 3};
  char cursors[OBS_KEPT_LISTS + 1][OBS_KEPT_CURSOR];
  (void)state;
  for (int i = 0; i <= OBS_KEPT_LISTS; i++) {
    obs_kept_list l = {.cut = false};
    obs_buf out = {0};
    fill(&l, 7);
    obs_json_writer w = obs_json_write(&out);
    obs_json_object(&w, NULL);
    obs_kept_begin(k, &l, "rows", &page, 1000 + (uint64_t)i, &w);
    obs_buf_putc(&out, '\0');
    assert_true(read_cursor(out.p, cursors[i], sizeof cursors[i]));
    obs_buf_fini(&out);
  }
  for (int i = 0; i <= OBS_KEPT_LISTS; i++) {
    obs_buf out = {0};
    obs_json_writer w = obs_json_write(&out);
    obs_json_object(&w, NULL);
    assert_int_equal(obs_kept_go_on(k, obs_str_of(cursors[i]), "rows", &page, 2000, &w), i > 0);
    obs_buf_fini(&out);
  }
  obs_kept_close(k);
}

/* ---- what was gathered elsewhere ---- */

static void test_gathered(void **state) {
  obs_gather_result g = {.matched = 3, .more = true, .next_seq = 9}, h = {.matched = 0};
  obs_buf out = {0};
  bool no_memory = false;
  (void)state;
  for (int i = 0; i < 3; i++) {
    obs_gather_item *x = OBS_VEC_PUSH(&g.ops);
    assert_non_null(x);
    if (x == NULL) return; /* the analyser does not know assert_non_null */
    *x = (obs_gather_item){.seq = (uint64_t)i + 4,
                           .success = i == 1,
                           .start_ms = 100 - i,
                           .end_ms = 200 - i,
                           .duration_ms = 100,
                           .endpoint = obs_str_of("/a\"\n\xc3\xa9"),
                           .session_id = OBS_STR(""),
                           .error = i != 1 ? OBS_STR("no") : (obs_str){0},
                           .task = UINT64_MAX,
                           .failure = i != 1,
                           .cluster = (uint64_t)i};
  }
  obs_json_writer w = obs_json_write(&out);
  obs_json_object(&w, NULL);
  obs_gathered_put(&g, &w);
  obs_json_end(&w);
  for (uint64_t from = 1; from < 3; from++) {
    obs_cursor c = obs_cursor_of(out.p, out.len);
    obs_gathered_end end;
    assert_true(obs_gathered_take(&c, from << 44, &h, &end, &no_memory));
    assert_int_equal(end.matched, 3);
    assert_int_equal(end.next_seq, 9);
    assert_true(end.more && c.p == c.end);
  }
  obs_gathered_sort(&h);
  assert_int_equal(h.ops.n, 6);
  for (uint32_t i = 0; i < 6; i++) {
    const obs_gather_item *x = &h.ops.at[i], *y = &g.ops.at[2 - i / 2];
    assert_int_equal(x->seq, ((uint64_t)(i % 2 + 1) << 44) + y->seq);
    assert_true(x->success == y->success && x->end_ms == y->end_ms && x->start_ms == y->start_ms);
    assert_true(x->task == y->task && x->failure == y->failure && x->cluster == y->cluster);
    assert_true(obs_str_eq(x->endpoint, y->endpoint) && x->endpoint.p == h.ops.at[0].endpoint.p);
    assert_true(x->session_id.p != NULL && x->session_id.len == 0 && x->source.p == NULL);
    assert_int_equal(x->error.p != NULL, y->error.p != NULL);
  }
  /* Cut short anywhere, it is none. */
  for (size_t n = 0; n < out.len; n++) {
    obs_gather_result cut = {.matched = 0};
    obs_gathered_end end;
    obs_cursor c = obs_cursor_of(out.p, n);
    assert_false(obs_gathered_take(&c, UINT64_C(1) << 44, &cut, &end, &no_memory));
    obs_gather_fini(&cut);
  }
  assert_false(no_memory);
  obs_buf_fini(&out);
  obs_gather_fini(&h);
  OBS_VEC_FINI(&g.ops);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_takes_questions),
      cmocka_unit_test(test_bounds_targets),
      cmocka_unit_test(test_walks),
      cmocka_unit_test(test_edges_that_are_away),
      cmocka_unit_test(test_says_who_is_missing),
      cmocka_unit_test(test_broken_pages),
      cmocka_unit_test(test_refuses_cursors),
      cmocka_unit_test(test_faults),
      cmocka_unit_test(test_kept_pages),
      cmocka_unit_test(test_kept_lists),
      cmocka_unit_test(test_gathered),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
