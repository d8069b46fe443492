/* How every thread of ours begins. */
#ifndef IMAGINARY_THREAD_H
#define IMAGINARY_THREAD_H

#include <pthread.h>

/* With all signals blocked: they are the main thread's. `attributes` may be NULL. 0, or an errno. */
int thread_start(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);

#endif
