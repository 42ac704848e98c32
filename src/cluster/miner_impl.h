/* The miner's inside, shared by its own files: learning (miner.c), the checkpoint (miner_persist.c). */
#ifndef OBS_CLUSTER_MINER_IMPL_H
#define OBS_CLUSTER_MINER_IMPL_H

#include "cluster/miner.h"
#include "cluster/recent.h"

enum { OBS_MINER_FRAME_WORDS = 4 /* different words in one place that make it a value's */ };

typedef struct {
  uint32_t words[OBS_MINER_FRAME_WORDS - 1]; /* hashes */
  obs_miner_ref clusters[OBS_MINER_FRAME_WORDS - 1];
  uint32_t n;
  bool open; /* its word is a value */
} obs_miner_frame;

typedef struct {
  uint64_t id, born;
  uint32_t tenant;
  uint32_t merged_into;  /* NONE: it stands for itself */
  uint32_t newer, older; /* by last use; NONE at the ends */
  char *text;
  uint32_t len;
} obs_miner_cluster;

struct obs_miner {
  obs_miner_cluster *clusters;
  uint32_t capacity, used, newest, oldest;
  uint64_t births;
  obs_recent forms;  /* of obs_miner_ref */
  obs_recent frames; /* of obs_miner_frame */
  void (*merged)(void *arg, uint64_t stays, uint64_t goes);
  void *merged_arg;
};

/* Makes a slot that is in no list the one used last. */
void obs_miner_link_newest(obs_miner *m, uint32_t slot);

#endif
