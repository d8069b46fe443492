/* names_later: getaddrinfo_a with names of the cluster, of others and of nobody in one list. Runs as host `web`. */
#include "case.h"
#include <dlfcn.h>

#define COUNT 6

/* Looked up, since the oldest libc of ours has them in a library of their own. */
static int (*look_up)(int, struct gaicb *[], int, struct sigevent *);
static int (*result_of)(struct gaicb *);
static int (*suspend_for)(const struct gaicb *const[], int, const struct timespec *);
static int (*cancel)(struct gaicb *);

static void find_functions(void) {
  dlopen("libanl.so.1", RTLD_NOW | RTLD_GLOBAL);
  *(void **)&look_up = dlsym(RTLD_DEFAULT, "getaddrinfo_a");
  *(void **)&result_of = dlsym(RTLD_DEFAULT, "gai_error");
  *(void **)&suspend_for = dlsym(RTLD_DEFAULT, "gai_suspend");
  *(void **)&cancel = dlsym(RTLD_DEFAULT, "gai_cancel");
  CHECK(look_up && result_of && suspend_for && cancel);
}

static const char *const names[COUNT] = {"api", "localhost", "foo.api", "db", 0, "100.64.1.2"};
static const int codes[COUNT] = {0, 0, EAI_NONAME, 0, 0, 0};
static struct gaicb requests[COUNT], *list[COUNT];
static struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};

static void prepare(bool only_ours) {
  memset(requests, 0, sizeof requests);
  for (int i = 0; i < COUNT; i++) {
    requests[i] = (struct gaicb){.ar_name = names[i], .ar_service = "80", .ar_request = &hints};
    list[i] = names[i] && !(only_ours && i == 1) ? &requests[i] : 0;
  }
}

static void wait_for_all(void) {
  for (int i = 0; i < COUNT; i++)
    while (list[i] && result_of(list[i]) == EAI_INPROGRESS) {
      const struct gaicb *one = list[i];
      suspend_for(&one, 1, 0);
    }
}

static void compare(void) {
  char text[64];
  for (int i = 0; i < COUNT; i++) {
    if (!list[i]) continue;
    CHECK(result_of(list[i]) == codes[i], "%s: %d", names[i], result_of(list[i]));
    int end;
    /* The C library's thread writes a result first, and puts the request away after. */
    while ((end = cancel(list[i])) == EAI_NOTCANCELED) sched_yield();
    CHECK(end == EAI_ALLDONE, "%s: %d", names[i], end);
    if (codes[i]) continue;
    const char *address = i == 0 || i == 5 ? "100.64.1.2:80" : i == 1 ? "127.0.0.1:80" : "100.64.1.3:80";
    CHECK(!strcmp(show((struct sockaddr_in *)list[i]->ar_result->ai_addr, text), address), "%s", text);
    freeaddrinfo(list[i]->ar_result);
  }
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int noticed;

static void notice(union sigval value) {
  /* This thread may still be ending when the signal comes, and the C library has unblocked all signals in it. */
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, 0) == 0);
  pthread_mutex_lock(&lock);
  noticed = value.sival_int;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&lock);
}

static void with_notice(bool only_ours) {
  struct sigevent none = {.sigev_notify = SIGEV_NONE};
  struct sigevent thread = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notice, .sigev_value.sival_int = 7};
  struct sigevent by_signal = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 8};
  prepare(only_ours);
  CHECK(look_up(GAI_NOWAIT, list, COUNT, &none) == 0);
  wait_for_all();
  compare();
  prepare(only_ours);
  noticed = 0;
  CHECK(look_up(GAI_NOWAIT, list, COUNT, &thread) == 0);
  pthread_mutex_lock(&lock);
  while (!noticed) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
  CHECK(noticed == 7);
  compare();
  prepare(only_ours);
  sigset_t set;
  siginfo_t info;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, 0) == 0);
  CHECK(look_up(GAI_NOWAIT, list, COUNT, &by_signal) == 0);
  CHECK(sigwaitinfo(&set, &info) == SIGUSR1 && info.si_value.sival_int == 8);
  compare();
}

int main(void) {
  alarm(50);
  find_functions();
  for (int only_ours = 0; only_ours < 2; only_ours++) {
    prepare(only_ours);
    CHECK(look_up(GAI_WAIT, list, COUNT, 0) == 0);
    compare();
    with_notice(only_ours);
  }
  prepare(false);
  CHECK(look_up(99, list, COUNT, 0) == EAI_SYSTEM && errno == EINVAL);
  say("ok");
  return 0;
}
