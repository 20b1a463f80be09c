/*
 * The catalogue of /proc/net as a member sees it: thirteen names and no other. Those that tell of the
 * host's interfaces and routes show a host with a loopback interface alone; those that list sockets are
 * made by proc_sockets.h.
 */
#ifndef SANDLOCK_NET_PROC_NET_H
#define SANDLOCK_NET_PROC_NET_H

enum net_file {
    NET_FILE_DEV,
    NET_FILE_IF_INET6,
    NET_FILE_ROUTE,
    NET_FILE_IPV6_ROUTE,
    NET_FILE_FIB_TRIE,
    NET_FILE_ARP,
    NET_FILE_TCP,
    NET_FILE_TCP6,
    NET_FILE_UDP,
    NET_FILE_UDP6,
    NET_FILE_UNIX,
    NET_FILE_SOCKSTAT,
    NET_FILE_SOCKSTAT6,
    NET_FILE_COUNT,
};

/* Numbers of the virtual inodes; the files follow in their order. */
enum { NET_INODE_PARENT = 1, NET_INODE_DIRECTORY = 2, NET_INODE_FILES = 3 };

const char *net_file_name(enum net_file file);

/* NET_FILE_COUNT: no such name. */
enum net_file net_file_find(const char *name);

/* The text of a file that is always the same; NULL for those that list sockets. */
const char *net_file_text(enum net_file file);

#endif
