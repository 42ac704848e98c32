#include "sessions/sessions.h"
