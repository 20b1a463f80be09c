/*
 * Makes threads and processes one after the other and waits for each: 200 threads that meet at a lock,
 * 100 forks, 50 vforks.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int counter;

static void *count(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    counter++;
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void must(int holds, const char *what)
{
    if (!holds) {
        perror(what);
        exit(1);
    }
}

int main(void)
{
    pthread_t threads[4];
    siginfo_t info;
    int status;

    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 4; i++)
            must(pthread_create(&threads[i], NULL, count, NULL) == 0, "pthread_create");
        for (int i = 0; i < 4; i++)
            must(pthread_join(threads[i], NULL) == 0, "pthread_join");
    }
    must(counter == 200, "counter");
    for (int i = 0; i < 100; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(3);
        must(pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3, "fork");
    }
    for (int i = 0; i < 50; i++) {
        pid_t pid = vfork();
        if (pid == 0)
            _exit(3);
        must(pid > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED) == 0 && info.si_status == 3,
             "vfork");
    }
    return 0;
}
