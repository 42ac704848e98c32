/* What is remembered of each cluster: how the table follows clusters that were merged. Its room: test_analyses. */
#include "learn/cluster_memory.h"

#include "fed.h"
#include "learn/analyses/internal.h"

typedef struct {
  obs_cluster_memory_head head;
  uint64_t taken;
} entry;

static entry *put(obs_cluster_memory *t, uint64_t cluster, uint64_t number, uint64_t taken) {
  entry *e = obs_cluster_memory_put(t, cluster, number);
  assert_non_null(e);
  e->taken = taken;
  return e;
}

static void join(void *into, const void *former) {
  entry *e = into;
  const entry *f = former;
  e->taken += f->taken;
}

enum { MANY = 8192 };

/* Odd clusters were merged into the even one before them. */
static uint64_t even(void *asked, uint64_t cluster) {
  ++*(uint64_t *)asked;
  return cluster & ~UINT64_C(1);
}

static void test_merged_clusters_are_followed_in_one_pass(void **state) {
  (void)state;
  obs_cluster_memory t = OBS_CLUSTER_MEMORY(entry, MANY);
  uint64_t asked = 0;
  for (uint64_t i = 0; i < MANY; i++)
    if (i % 4 != 0) (void)put(&t, i, i + 1, i); /* of each four: 1 moves, 2 stays, 3 joins 2 */
  assert_true(obs_cluster_memory_move(&t, even, &asked, join, NULL));
  assert_int_equal(asked, MANY / 4 * 3);
  assert_int_equal(t.n, MANY / 2);
  for (uint64_t i = 0; i < MANY; i++) {
    const entry *e = obs_cluster_memory_find(&t, i);
    assert_int_equal(e != NULL, i % 2 == 0);
    if (e == NULL) continue;
    assert_int_equal(e->head.cluster, i);
    assert_int_equal(e->taken, i % 4 == 0 ? i + 1 : i + i + 1);
    assert_int_equal(e->head.number, i % 4 == 0 ? i + 2 : i + 1);
  }
  obs_cluster_memory_fini(&t);
}

/* What /health reads of the analyses it reads without their lock, which is held while entries are moved. */
static void test_health_does_not_wait_for_the_table(void **state) {
  (void)state;
  fed f;
  void *loop;
  char error[256];
  fed_init(&f, 100);
  const obs_learn_opts opts = {.clusters = f.clusters};
  obs_loop_tools tools = {.opts = &opts, .facts = f.facts, .evidence = fed_evidence(&f)};
  assert_int_equal(obs_analyses_loop.open(&tools, &loop, error, sizeof(error)), OBSERVER_E_OK);
  obs_analyses *a = loop;
  pthread_mutex_lock(&a->lock);
  obs_records_counts n;
  (void)alarm(20); /* it ends the test when this waits */
  (void)obs_analyses_through(a);
  obs_records_get_counts(obs_analyses_loop.records(a), &n);
  (void)alarm(0);
  pthread_mutex_unlock(&a->lock);
  obs_analyses_loop.close(a);
  fed_fini(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_merged_clusters_are_followed_in_one_pass),
      cmocka_unit_test(test_health_does_not_wait_for_the_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
