/* Faults that are there to be found: a checker that is quiet about them would be quiet about anything. */
#include <pthread.h>
#include <stdlib.h>

/* A byte behind the n that p points to. */
int over_read(const unsigned char *p, size_t n) { return ((const volatile unsigned char *)p)[n]; }

/* A sum that no int holds. */
int overflow(int a) { return a + 1; }

/* A choice by a byte that was never written. */
int uninitialised(void) {
    unsigned char *p = malloc(16);
    int chosen = p != NULL && ((volatile unsigned char *)p)[5] > 7 ? 1 : 2;
    free(p);
    return chosen;
}

static int shared;
static void *count(void *unused) {
    for (int i = 0; i < 100000; i++) shared++;
    return unused;
}

/* Two threads that write the same without a lock. */
int race(void) {
    pthread_t a, b;
    pthread_create(&a, NULL, count, NULL);
    pthread_create(&b, NULL, count, NULL);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    return shared;
}

/* Memory that nobody points to any more. */
void lose(void) {
    char *volatile p = malloc(100);
    p = NULL;
    (void)p;
}
