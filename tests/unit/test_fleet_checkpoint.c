/* Checkpoints of partitions on disk, and the value of a lease. What stands in the bucket: tests/process/test_fleet*.py.
 */
#include "base/json.h"
#include "fleet/checkpoint.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
  char path[32];
  int fd;
} folder;

static folder make_folder(void) {
  folder f = {.path = "/tmp/obs-checkpoint-XXXXXX"};
  assert_non_null(mkdtemp(f.path));
  f.fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_true(f.fd >= 0);
  return f;
}

static void remove_folder(folder *f) {
  for (uint32_t p = 0; p < 32; p++) obs_checkpoint_drop(f->fd, p, 0);
  assert_int_equal(close(f->fd), 0);
  assert_int_equal(rmdir(f->path), 0); /* and nothing else was left in it */
}

static obs_checkpoint_mark mark_of(uint32_t p, uint64_t seq) {
  return (obs_checkpoint_mark){.partitions = 64, .p = p, .stream_id = 77, .stream_seq = seq, .tail = seq * 3};
}

static void write_one(const folder *f, uint32_t p, uint64_t seq) {
  char text[32];
  obs_checkpoint_mark m = mark_of(p, seq);
  int n = snprintf(text, sizeof text, "state %" PRIu32 " %" PRIu64, p, seq);
  assert_int_equal(obs_checkpoint_write(f->fd, &m, text, (size_t)n), OBSERVER_E_OK);
}

/* The seq of what is found; 0: nothing. */
static uint64_t read_one(const folder *f, uint32_t p, uint64_t below) {
  char text[32];
  obs_buf bytes = {0};
  obs_checkpoint_mark m = mark_of(p, 0);
  observer_err err = obs_checkpoint_read(f->fd, below, &m, &bytes);
  if (err == OBSERVER_E_OK) {
    int n = snprintf(text, sizeof text, "state %" PRIu32 " %" PRIu64, p, m.stream_seq);
    assert_int_equal(bytes.len, n);
    assert_memory_equal(bytes.p, text, (size_t)n);
    assert_int_equal(m.tail, m.stream_seq * 3);
  } else
    assert_int_equal(err, OBSERVER_E_NOTFOUND);
  obs_buf_fini(&bytes);
  return err == OBSERVER_E_OK ? m.stream_seq : 0;
}

static void the_last_four_are_kept(void **unused) {
  (void)unused;
  folder f = make_folder();
  assert_int_equal(read_one(&f, 7, UINT64_MAX), 0);
  for (uint64_t seq = 10; seq <= 70; seq += 10) write_one(&f, 7, seq);
  write_one(&f, 17, 5);
  assert_int_equal(read_one(&f, 7, UINT64_MAX), 70);
  assert_int_equal(read_one(&f, 7, 70), 60);
  assert_int_equal(read_one(&f, 7, 41), 40);
  assert_int_equal(read_one(&f, 7, 40), 0);
  assert_int_equal(read_one(&f, 17, UINT64_MAX), 5);
  /* The stream went back: what is beyond is gone for good. */
  obs_checkpoint_drop(f.fd, 7, 55);
  assert_int_equal(read_one(&f, 7, UINT64_MAX), 50);
  write_one(&f, 7, 50);
  assert_int_equal(read_one(&f, 7, UINT64_MAX), 50);
  remove_folder(&f);
}

static void another_streams_is_passed_over(void **unused) {
  (void)unused;
  folder f = make_folder();
  obs_buf bytes = {0};
  write_one(&f, 3, 10);
  obs_checkpoint_mark m = mark_of(3, 20);
  m.stream_id = 78;
  assert_int_equal(obs_checkpoint_write(f.fd, &m, "x", 1), OBSERVER_E_OK);
  assert_int_equal(read_one(&f, 3, UINT64_MAX), 10);
  m = mark_of(3, 0);
  m.partitions = 128;
  assert_int_equal(obs_checkpoint_read(f.fd, UINT64_MAX, &m, &bytes), OBSERVER_E_NOTFOUND);
  obs_buf_fini(&bytes);
  remove_folder(&f);
}

/* Cut anywhere, or with any byte changed, it is not taken; the one before it is. */
static void a_broken_one_is_passed_over(void **unused) {
  (void)unused;
  folder f = make_folder();
  char name[64], whole[256];
  write_one(&f, 1, 10);
  write_one(&f, 1, 20);
  (void)snprintf(name, sizeof name, "1-%020d", 20);
  int fd = openat(f.fd, name, O_RDWR | O_CLOEXEC);
  ssize_t n = pread(fd, whole, sizeof whole, 0);
  assert_true(fd >= 0 && n > 48);
  for (ssize_t i = 0; i < n; i++) {
    char byte = (char)(whole[i] ^ 1);
    assert_int_equal(pwrite(fd, &byte, 1, i), 1);
    assert_int_equal(read_one(&f, 1, UINT64_MAX), 10);
    assert_int_equal(pwrite(fd, &whole[i], 1, i), 1);
  }
  assert_int_equal(read_one(&f, 1, UINT64_MAX), 20);
  for (ssize_t i = n; i-- > 0;) {
    assert_int_equal(ftruncate(fd, i), 0);
    assert_int_equal(read_one(&f, 1, UINT64_MAX), 10);
  }
  assert_int_equal(close(fd), 0);
  remove_folder(&f);
}

static void the_value_of_a_lease(void **unused) {
  (void)unused;
  obs_lease_value v = {.worker = 0xabc, .run = UINT64_MAX}, got;
  obs_buf text = {0};
  obs_lease_value_write(&v, &text);
  assert_true(obs_lease_value_read(text.p, text.len, &got));
  assert_memory_equal(&v, &got, sizeof v);
  v.last[0] = (obs_checkpoint_kept){.id = "00000000000000ff-12",
                                    .bytes = 1 << 20,
                                    .chunks = 2,
                                    .stream_seq = UINT64_MAX,
                                    .tail = 5,
                                    .hash = 6,
                                    .stream_id = 0x5f2c9a0e11d84b37u,
                                    .made_ms = 1764450000123};
  v.last[1] = v.last[0];
  v.last[1].bytes = 1;
  v.last[1].chunks = 1;
  obs_buf_reset(&text, SIZE_MAX);
  obs_lease_value_write(&v, &text);
  assert_true(obs_lease_value_read(text.p, text.len, &got));
  assert_memory_equal(&v, &got, sizeof v);
  for (size_t n = 0; n < text.len; n++) assert_false(obs_lease_value_read(text.p, n, &got));
  obs_buf_fini(&text);
  static const char *const bad[] = {
      "",
      "null",
      "[]",
      "{\"v\":2,\"worker\":\"0000000000000abc\",\"run\":\"0000000000000001\",\"checkpoints\":[]}",
      "{\"v\":1,\"worker\":\"0000000000000abc\",\"run\":7,\"checkpoints\":[]}",
      "{\"v\":1,\"worker\":\"0000000000000abc\",\"run\":\"0000000000000001\",\"checkpoints\":[{\"id\":\"a.>\"}]}"};
  static const char too_many_chunks[] =
      "{\"v\":1,\"worker\":\"0000000000000abc\",\"run\":\"0000000000000001\",\"checkpoints\":[{\"id\":\"a\",\"bytes\":"
      "1,"
      "\"chunks\":4000000000,\"hash\":\"0000000000000001\",\"stream_seq\":\"1\",\"tail\":\"0000000000000001\","
      "\"stream_id\":\"0000000000000001\",\"made_ms\":1}]}";
  assert_false(obs_lease_value_read(too_many_chunks, strlen(too_many_chunks), &got));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(obs_lease_value_read(bad[i], strlen(bad[i]), &got));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_last_four_are_kept),
      cmocka_unit_test(another_streams_is_passed_over),
      cmocka_unit_test(a_broken_one_is_passed_over),
      cmocka_unit_test(the_value_of_a_lease),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
