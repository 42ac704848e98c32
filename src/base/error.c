#include <observer/error.h>
#include <stddef.h>

static const char *const texts[] = {
#define OBSERVER_ERR_TEXT(name, text) text,
    OBSERVER_ERR_MAP(OBSERVER_ERR_TEXT)
#undef OBSERVER_ERR_TEXT
};

const char *observer_strerror(observer_err err) {
  size_t i = (size_t)err;
  return i < sizeof(texts) / sizeof(texts[0]) ? texts[i] : "unknown error";
}
