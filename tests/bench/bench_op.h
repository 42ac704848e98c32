/* The message that every measurement uses: `batch` ops of 14 fields, about 270 bytes each as msgpack. One op is a map,
 * more are an array of maps. Values vary over a handful of endpoints, staffers and durations, as a fleet's do. */
#ifndef BENCH_OP_H
#define BENCH_OP_H

#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static inline void bench_text(msgpack_packer *pk, const char *key, const char *value) {
  msgpack_pack_str_with_body(pk, key, strlen(key));
  msgpack_pack_str_with_body(pk, value, strlen(value));
}

static inline void bench_int(msgpack_packer *pk, const char *key, int64_t value) {
  msgpack_pack_str_with_body(pk, key, strlen(key));
  msgpack_pack_int64(pk, value);
}

enum { BENCH_SIG = 16 }; /* bytes of a sig_hash */

static inline void bench_sig(char out[BENCH_SIG + 1], uint32_t task) {
  snprintf(out, BENCH_SIG + 1, "%016x", task * 2654435761u);
}

/* One in `fails` ops failed; with a text when `text`. */
static inline void bench_pack_op(msgpack_packer *pk, uint32_t i, uint32_t fails, bool text) {
  static const char *const endpoints[] = {"/v1/chat", "/v1/search", "/v1/embed", "/v1/plan", "scenario:fill"};
  char staffer[16];
  char sig[BENCH_SIG + 1];
  snprintf(staffer, sizeof(staffer), "agent-%03u", i % 40);
  bench_sig(sig, i % 97);
  msgpack_pack_map(pk, text && i % fails == 0 ? 15 : 14);
  bench_text(pk, "timestamp", "2026-01-15T09:30:00.125Z");
  bench_text(pk, "endpoint", endpoints[i % 5]);
  bench_text(pk, "input_summary", "fill 3 pickers for the night shift");
  msgpack_pack_str_with_body(pk, "success", 7);
  if (i % fails != 0) {
    msgpack_pack_true(pk);
  } else {
    msgpack_pack_false(pk);
  }
  bench_int(pk, "duration_ms", 20 + i * 37 % 900);
  bench_text(pk, "output_summary", "3 of 3 filled");
  if (text && i % fails == 0) bench_text(pk, "error", "upstream timed out: no answer from 10.0.3.7:8080 after 3000 ms");
  bench_text(pk, "source", i % 5 == 4 ? "scenario" : "mcp");
  bench_text(pk, "staffer_id", staffer);
  bench_text(pk, "sig_hash", sig);
  bench_text(pk, "event_kind", "expansion");
  bench_text(pk, "role", "picker");
  bench_text(pk, "city", "Columbus");
  bench_text(pk, "state", "OH");
  bench_int(pk, "count", 1 + i % 8);
}

static inline void bench_pack_message(msgpack_sbuffer *out, uint32_t batch) {
  msgpack_packer pk;
  msgpack_packer_init(&pk, out, msgpack_sbuffer_write);
  if (batch > 1) msgpack_pack_array(&pk, batch);
  for (uint32_t i = 0; i < batch; i++) bench_pack_op(&pk, i, 10, false);
}

#endif
