/* Architecture part of clone.h. */
#include "bare/clone.h"

#include <stdint.h>
#include <sys/syscall.h>

#define CLEAR_SIGHAND 0x100000000ULL

/* The kernel only adds size to stack; how much lies below the first frame is not its concern. */
#define STACK_NAMED 1024

/* clone3(2), in its first version. */
struct clone3_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

/* The new stack begins with the function and its argument. */
long bare_clone3(struct clone3_arguments *arguments, unsigned long size);

#if defined(__x86_64__)
/* rdi flags, rsi stack, rdx parent_tid, rcx child_tid, r8 function, r9 argument. The function and
 * its argument go through the new stack, since no register but the system call's is promised. */
__asm__(".text\n"
        ".globl bare_clone\n"
        ".hidden bare_clone\n"
        ".type bare_clone, @function\n"
        "bare_clone:\n"
        "    endbr64\n"
        "    subq $16, %rsi\n"
        "    movq %r8, 0(%rsi)\n"
        "    movq %r9, 8(%rsi)\n"
        "    movq %rcx, %r10\n"
        "    xorl %r8d, %r8d\n"
        "    movl $56, %eax\n"
        "    syscall\n"
        "    testq %rax, %rax\n"
        "    jz 1f\n"
        "    ret\n"
        "1:  xorl %ebp, %ebp\n"
        "    popq %rax\n"
        "    popq %rdi\n"
        "    call *%rax\n"
        "    movl %eax, %edi\n"
        "    movl $231, %eax\n"
        "    syscall\n"
        "    hlt\n"
        ".size bare_clone, .-bare_clone\n"
        ".globl bare_clone3\n"
        ".hidden bare_clone3\n"
        ".type bare_clone3, @function\n"
        "bare_clone3:\n"
        "    endbr64\n"
        "    movl $435, %eax\n"
        "    syscall\n"
        "    testq %rax, %rax\n"
        "    jz 1f\n"
        "    ret\n"
        "1:  xorl %ebp, %ebp\n"
        "    popq %rax\n"
        "    popq %rdi\n"
        "    call *%rax\n"
        "    movl %eax, %edi\n"
        "    movl $231, %eax\n"
        "    syscall\n"
        "    hlt\n"
        ".size bare_clone3, .-bare_clone3\n");
#elif defined(__aarch64__)
/* clone(flags, stack, parent_tid, tls, child_tid) */
__asm__(".text\n"
        ".globl bare_clone\n"
        ".hidden bare_clone\n"
        ".type bare_clone, %function\n"
        "bare_clone:\n"
        "    hint #34\n"
        "    stp x4, x5, [x1, #-16]!\n"
        "    mov x4, x3\n"
        "    mov x3, xzr\n"
        "    mov x8, #220\n"
        "    svc #0\n"
        "    cbz x0, 1f\n"
        "    ret\n"
        "1:  mov x29, xzr\n"
        "    mov x30, xzr\n"
        "    ldp x1, x0, [sp], #16\n"
        "    blr x1\n"
        "    mov x8, #94\n"
        "    svc #0\n"
        "    brk #0\n"
        ".size bare_clone, .-bare_clone\n"
        ".globl bare_clone3\n"
        ".hidden bare_clone3\n"
        ".type bare_clone3, %function\n"
        "bare_clone3:\n"
        "    hint #34\n"
        "    mov x8, #435\n"
        "    svc #0\n"
        "    cbz x0, 1f\n"
        "    ret\n"
        "1:  mov x29, xzr\n"
        "    mov x30, xzr\n"
        "    ldp x1, x0, [sp], #16\n"
        "    blr x1\n"
        "    mov x8, #94\n"
        "    svc #0\n"
        "    brk #0\n"
        ".size bare_clone3, .-bare_clone3\n");
#elif defined(__riscv)
__asm__(".text\n"
        ".globl bare_clone\n"
        ".hidden bare_clone\n"
        ".type bare_clone, @function\n"
        "bare_clone:\n"
        "    addi a1, a1, -16\n"
        "    sd a4, 0(a1)\n"
        "    sd a5, 8(a1)\n"
        "    mv a4, a3\n"
        "    li a3, 0\n"
        "    li a7, 220\n"
        "    ecall\n"
        "    beqz a0, 1f\n"
        "    ret\n"
        "1:  ld a5, 0(sp)\n"
        "    ld a0, 8(sp)\n"
        "    addi sp, sp, 16\n"
        "    jalr a5\n"
        "    li a7, 94\n"
        "    ecall\n"
        "    ebreak\n"
        ".size bare_clone, .-bare_clone\n"
        ".globl bare_clone3\n"
        ".hidden bare_clone3\n"
        ".type bare_clone3, @function\n"
        "bare_clone3:\n"
        "    li a7, 435\n"
        "    ecall\n"
        "    beqz a0, 1f\n"
        "    ret\n"
        "1:  ld a5, 0(sp)\n"
        "    ld a0, 8(sp)\n"
        "    addi sp, sp, 16\n"
        "    jalr a5\n"
        "    li a7, 94\n"
        "    ecall\n"
        "    ebreak\n"
        ".size bare_clone3, .-bare_clone3\n");
#else
#error "no clone for this architecture"
#endif

long bare_clone_without_handlers(unsigned long flags, void *stack_top, int *pidfd,
                                 int (*function)(void *), void *argument)
{
    uintptr_t *first = (uintptr_t *)stack_top - 2;
    struct clone3_arguments arguments = {
        .flags = flags | CLEAR_SIGHAND,
        .pidfd = (uintptr_t)pidfd,
        .stack = (uintptr_t)first - STACK_NAMED,
        .stack_size = STACK_NAMED,
    };

    first[0] = (uintptr_t)function;
    first[1] = (uintptr_t)argument;
    return bare_clone3(&arguments, sizeof(arguments));
}
