// ONNX Runtime's own choices for the temporaries inside a Run are an arena a session, which keeps the largest memory that
// each session ever used, or malloc, which maps and unmaps every large value and so pays the page faults of 100 MB of
// logits in each Run. This allocator is shared by all sessions and keeps freed blocks, whatever session they came from,
// as long as lent and idle memory together stay below one and a half times the most that was ever lent at once: a steady
// run then maps nothing (below once the most, blocks of other sizes drove each other out: 20,000 page faults and 50 ms
// of 390 in a step of stories260K). Where no idle block fits, the nearest in size is
// resized (its pages move with it), so that batches of ever new lengths reuse pages too.
//
#define _GNU_SOURCE
#include "scratch.h"

#ifdef _WIN32

OrtAllocator *scratch_allocator(const OrtMemoryInfo *info) { return NULL; }
size_t scratch_bytes(void) { return 0; }
size_t scratch_most(void) { return 0; }
void scratch_trim(void) {}
void scratch_limit(size_t bytes) {}

#else

#include <pthread.h>
#include <sys/mman.h>

#ifdef __GLIBC__
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

// The C library makes a heap for each thread that finds those there are taken, up to eight a core, and none shrinks while a value at its end
// is in use. Go moves work among threads, so in a long run their number rises now and then, by MiB each. No more threads than cores
// run at a time, so as many heaps do. MALLOC_ARENA_MAX, where it is set, says otherwise.
__attribute__((constructor)) static void limit_heaps(void) {
  if (!getenv("MALLOC_ARENA_MAX")) mallopt(M_ARENA_MAX, (int)sysconf(_SC_NPROCESSORS_ONLN));
}
#endif

// block stands before the memory that is lent, at a size that keeps that aligned for vector instructions.
typedef union block {
  struct {
    size_t bytes;  // of the mapping, this header included; 0 for a small block, which malloc has
    union block *next;
  };
  char line[64];
} block;

enum { SMALL = 1 << 15, HUGE_PAGES = 4 << 20 };

static const OrtMemoryInfo *memory;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *idle;
static size_t lent, kept, most;  // bytes of blocks in use; of idle blocks; the largest that lent has been
static size_t limit = SIZE_MAX;  // of lent and kept together, as far as what is idle can keep it

// rounded wastes a sixteenth at most, so that sizes a little apart are one.
static size_t rounded(size_t n) {
  size_t unit = 4096;
  while (unit * 16 < n) unit *= 2;
  return (n + unit - 1) / unit * unit;
}

static int fits(const block *b, size_t need) { return b->bytes >= need && b->bytes - need <= need / 4; }

static size_t distance(const block *b, size_t need) { return b->bytes > need ? b->bytes - need : need - b->bytes; }

// nearest takes the idle block nearest to a size out of the list; only such as fit, if asked to.
static block *nearest(size_t need, int fitting) {
  block **best = NULL;
  for (block **p = &idle; *p; p = &(*p)->next)
    if ((!fitting || fits(*p, need)) && (!best || distance(*p, need) < distance(*best, need))) best = p;
  if (!best) return NULL;
  block *b = *best;
  *best = b->next;
  kept -= b->bytes;
  return b;
}

// mapped gives b's pages, if any, the size need. NULL if the system has no more memory; b is then gone.
static block *mapped(block *b, size_t need) {
  void *at = MAP_FAILED;
#ifdef __linux__
  if (b) at = mremap(b, b->bytes, need, MREMAP_MAYMOVE);
#endif
  if (at == MAP_FAILED) {
    if (b) munmap(b, b->bytes);
    at = mmap(NULL, need, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (at == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
  if (need >= HUGE_PAGES) madvise(at, need, MADV_HUGEPAGE);
#endif
  b = at;
  b->bytes = need;
  return b;
}

static void *small(size_t n) {
  void *at = NULL;
  if (posix_memalign(&at, sizeof(block), n)) return NULL;
  block *b = at;
  b->bytes = 0;
  return b + 1;
}

static void *ORT_API_CALL take(OrtAllocator *self, size_t n) {
  if (n == 0 || n > SIZE_MAX / 4) return NULL;
  if (n < SMALL) return small(n + sizeof(block));
  size_t need = rounded(n + sizeof(block));
  pthread_mutex_lock(&lock);
  block *b = nearest(need, 1);
  int resize = b == NULL;
  lent += b ? b->bytes : need;
  if (lent > most) most = lent;
  while (kept > 0 && (lent + kept > most + most / 2 || lent + kept > limit)) {
    block *surplus = nearest(need, 0);
    if (!b) b = surplus;
    else munmap(surplus, surplus->bytes);
  }
  if (resize && !(b = mapped(b, need))) lent -= need;
  pthread_mutex_unlock(&lock);
  return b ? b + 1 : NULL;
}

static void ORT_API_CALL give(OrtAllocator *self, void *p) {
  if (!p) return;
  block *b = (block *)p - 1;
  if (b->bytes == 0) {
    free(b);
    return;
  }
  pthread_mutex_lock(&lock);
  b->next = idle;
  idle = b;
  lent -= b->bytes;
  kept += b->bytes;
  pthread_mutex_unlock(&lock);
}

static const OrtMemoryInfo *ORT_API_CALL info(const OrtAllocator *self) { return memory; }

static OrtAllocator shared = {.version = ORT_API_VERSION, .Alloc = take, .Free = give, .Info = info, .Reserve = take};

OrtAllocator *scratch_allocator(const OrtMemoryInfo *of) {
  memory = of;
  return &shared;
}

size_t scratch_bytes(void) {
  pthread_mutex_lock(&lock);
  size_t n = lent + kept;
  pthread_mutex_unlock(&lock);
  return n;
}

size_t scratch_most(void) {
  pthread_mutex_lock(&lock);
  size_t n = most;
  pthread_mutex_unlock(&lock);
  return n;
}

void scratch_limit(size_t bytes) {
  pthread_mutex_lock(&lock);
  limit = bytes;
  pthread_mutex_unlock(&lock);
}

void scratch_trim(void) {
  pthread_mutex_lock(&lock);
  while (idle) {
    block *b = idle;
    idle = b->next;
    munmap(b, b->bytes);
  }
  kept = 0;
  most = lent;
  pthread_mutex_unlock(&lock);
}

#endif
