/*
 * prctl(PR_SET_PDEATHSIG), which Lambda refuses, and without which PostgreSQL ends at once: a thread waits for the
 * parent's end and sends the signal. Lost at exec, unlike the kernel's.
 */
#ifndef IMAGINARY_PDEATHSIG_H
#define IMAGINARY_PDEATHSIG_H

void pdeathsig_start_of_process(void);

/* As PR_SET_PDEATHSIG: 0, or -1 with errno. EPERM: the sandbox refuses it, and the shim cannot do it either. */
int pdeathsig_set(unsigned long signal);

/* The signal that pdeathsig_set was given; 0: none. */
int pdeathsig_get(void);

#endif
