/*
 * Classic BPF for seccomp: an assembler with labels that never truncates a jump (8-bit offsets are
 * bridged by JA trampolines), and an interpreter with the kernel's semantics, for proofs.
 */
#ifndef SANDLOCK_KERNEL_BPF_H
#define SANDLOCK_KERNEL_BPF_H

#include "util/error.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* BPF_MAXINSNS: the kernel refuses longer programs. */
#define BPF_PROGRAM_MAX 4096

struct bpf_program {
    struct sock_filter *instructions; /* owned */
    size_t length;
};

#define BPF_PROGRAM_INIT ((struct bpf_program){0})
#define CLEANUP_BPF_PROGRAM __attribute__((cleanup(bpf_program_free)))

void bpf_program_free(struct bpf_program *program);

/* ---- Interpreter ----------------------------------------------------------------------------- */

/* True if seccomp(2) would take the program: known instructions, aligned loads inside struct
 * seccomp_data, jumps inside the program, a return at the end, scratch memory written before read.
 */
bool bpf_program_is_valid(const struct bpf_program *program);

/* Runs a program as the kernel would. A program the kernel would refuse (bad jump, bad load, no
 * return) yields SECCOMP_RET_KILL_PROCESS and sets *invalid (may be NULL). */
uint32_t bpf_run(const struct bpf_program *program, const struct seccomp_data *data, bool *invalid);

/* The same for a program that bpf_program_is_valid() has accepted; does not check again. */
uint32_t bpf_run_valid(const struct bpf_program *program, const struct seccomp_data *data);

/* ---- Assembler ------------------------------------------------------------------------------- */

/*
 * A program is written from its last instruction to its first, so that the target of a jump exists
 * before the jump and its distance is known for good. Every function returns the label of what it
 * wrote. A target too far for an 8-bit offset is reached through a trampoline, or a copy of the
 * return that it is, written on the spot and shared by later jumps.
 *
 * Failures are remembered, as in struct buffer; the one check is bpf_assembler_finish().
 */
/* Distance from the end of the program, so it stays right while the program grows at its front. */
typedef size_t bpf_label;

/* Different returns that are found at once; others are searched for. */
#define BPF_RETURNS_KEPT 16

/* Jumps that are remembered, by a hash of what they test and where they lead. Enough that programs of
 * every day forget none: a jump written twice may be the end of two long ways, which are then both
 * written twice. */
#define BPF_JUMPS_KEPT 512

struct bpf_assembler {
    struct sock_filter *reversed; /* last instruction first; owned */
    size_t length, capacity;
    bpf_label returns[BPF_RETURNS_KEPT];
    size_t return_count;
    uint16_t jumps[BPF_JUMPS_KEPT]; /* labels; 0: none */
    bool failed;
};

#define BPF_ASSEMBLER_INIT ((struct bpf_assembler){0})
#define CLEANUP_BPF_ASSEMBLER __attribute__((cleanup(bpf_assembler_free)))

void bpf_assembler_free(struct bpf_assembler *assembler);

/* "return value": one that is there already, or a new one. */
bpf_label bpf_emit_return(struct bpf_assembler *assembler, uint32_t value);

/* An instruction that neither jumps nor returns, followed by `next`: one that is there already, or a new
 * one. */
bpf_label bpf_emit(struct bpf_assembler *assembler, uint16_t code, uint32_t k, bpf_label next);

/* A conditional jump, likewise. `test` is BPF_JEQ, BPF_JGT, BPF_JGE or BPF_JSET, with BPF_K or BPF_X. */
bpf_label bpf_emit_jump(struct bpf_assembler *assembler, uint16_t test, uint32_t k,
                        bpf_label if_true, bpf_label if_false);

/* Hands out the program, which begins at `start`, the label of the last emission or any other; the
 * assembler is empty afterwards. Errors: out of memory; more than BPF_PROGRAM_MAX instructions. */
bool bpf_assembler_finish(struct bpf_assembler *assembler, bpf_label start,
                          struct bpf_program *program, struct error *err);

#endif
