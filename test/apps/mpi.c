/*
 * Ranks of an MPI job at work in files that they share.
 *
 * mpi shared FILE    one file, written by all ranks in every way that MPI-IO has, and read by all
 * mpi pointer FILE   one file, written by all ranks through one pointer
 * mpi atomic FILE    the same bytes written by all ranks at once, in atomic mode: those of one of them are found
 * mpi save DIR       a checkpoint: each rank a file of its own, put in place by rename; the last line says it is whole
 * mpi restore DIR    each rank reads what the rank of its number has saved
 */
#include <fcntl.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORDS = 150, RECORD = 1000, SAVED = (5 << 20) + 321 };

static int rank, ranks;

static void check(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "rank %d: %s\n", rank, what);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

static void done(int error, const char *what) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length;
  if (error == MPI_SUCCESS) return;
  MPI_Error_string(error, text, &length);
  fprintf(stderr, "rank %d: %s: %s\n", rank, what, text);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

/* Bytes that say whose they are, which record, and of which round. */
static void fill(unsigned char *data, long bytes, int who, int record, int round) {
  unsigned state = 2654435761u * (unsigned)(1 + who + 97 * record + 7919 * round);
  for (long at = 0; at < bytes; at++) {
    state = state * 1664525u + 1013904223u;
    data[at] = (unsigned char)(state >> 24);
  }
}

static void expect(const unsigned char *data, long bytes, int who, int record, int round, const char *what) {
  unsigned char *wanted = malloc((size_t)bytes);
  fill(wanted, bytes, who, record, round);
  check(memcmp(data, wanted, (size_t)bytes) == 0, what);
  free(wanted);
}

/* What MPI asks for before others may read. */
static void settle(MPI_File file) {
  done(MPI_File_sync(file), "sync");
  MPI_Barrier(MPI_COMM_WORLD);
  done(MPI_File_sync(file), "sync");
}

/* Record i of rank r lies at (i * ranks + r) * RECORD. */
static void verify(MPI_File file, int round, const char *what) {
  long bytes = (long)RECORDS * ranks * RECORD;
  unsigned char *all = malloc((size_t)bytes);
  MPI_Status status;
  int count;
  done(MPI_File_set_view(file, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL), "set_view");
  done(MPI_File_read_at(file, 0, all, (int)bytes, MPI_BYTE, &status), "read_at");
  MPI_Get_count(&status, MPI_BYTE, &count);
  check(count == bytes, "a short read");
  for (int record = 0; record < RECORDS; record++)
    for (int who = 0; who < ranks; who++)
      expect(all + ((long)record * ranks + who) * RECORD, RECORD, who, record, round, what);
  free(all);
  MPI_Barrier(MPI_COMM_WORLD);
}

static void shared(const char *path) {
  unsigned char *own = malloc((size_t)RECORDS * RECORD);
  MPI_File file;
  MPI_Info info;
  MPI_Datatype stride, view;
  MPI_Offset size;
  MPI_Info_create(&info);
  /* Holes between what a rank writes are read and written back by it, under a lock. */
  MPI_Info_set(info, "romio_ds_write", "enable");
  done(MPI_File_open(MPI_COMM_WORLD, path, MPI_MODE_CREATE | MPI_MODE_EXCL | MPI_MODE_RDWR, info, &file), "open");

  for (int record = 0; record < RECORDS; record++) {
    fill(own, RECORD, rank, record, 1);
    done(MPI_File_write_at(file, ((MPI_Offset)record * ranks + rank) * RECORD, own, RECORD, MPI_BYTE, MPI_STATUS_IGNORE),
         "write_at");
  }
  settle(file);
  verify(file, 1, "one record after the other");

  MPI_Type_contiguous(RECORD, MPI_BYTE, &stride);
  MPI_Type_create_resized(stride, 0, (MPI_Aint)ranks * RECORD, &view);
  MPI_Type_commit(&view);
  for (int round = 2; round <= 4; round++) {
    int together = round != 3;
    for (int record = 0; record < RECORDS; record++) fill(own + (long)record * RECORD, RECORD, rank, record, round);
    done(MPI_File_set_view(file, (MPI_Offset)rank * RECORD, MPI_BYTE, view, "native", info), "set_view");
    done((together ? MPI_File_write_at_all : MPI_File_write_at)(file, 0, own, RECORDS * RECORD, MPI_BYTE,
                                                                MPI_STATUS_IGNORE),
         "write through a view");
    settle(file);
    verify(file, round, together ? "collective" : "by each rank through its view");
    memset(own, 0, (size_t)RECORDS * RECORD);
    done(MPI_File_set_view(file, (MPI_Offset)rank * RECORD, MPI_BYTE, view, "native", info), "set_view");
    done(MPI_File_read_at_all(file, 0, own, RECORDS * RECORD, MPI_BYTE, MPI_STATUS_IGNORE), "read_at_all");
    for (int record = 0; record < RECORDS; record++)
      expect(own + (long)record * RECORD, RECORD, rank, record, round, "read through a view");
  }

  done(MPI_File_get_size(file, &size), "get_size");
  check(size == (MPI_Offset)RECORDS * ranks * RECORD, "the size");
  MPI_Barrier(MPI_COMM_WORLD);
  done(MPI_File_set_size(file, 12345), "set_size");
  done(MPI_File_get_size(file, &size), "get_size");
  check(size == 12345, "the size after a truncation");
  MPI_Barrier(MPI_COMM_WORLD);
  done(MPI_File_preallocate(file, 1 << 20), "preallocate");
  done(MPI_File_get_size(file, &size), "get_size");
  check(size == 1 << 20, "the size after an allocation");
  done(MPI_File_close(&file), "close");
  free(own);
}

/* A pointer that all share: every record is written once, in whatever order. */
static void pointer(const char *path) {
  unsigned char *all = malloc((size_t)RECORDS * ranks * sizeof(int)), *seen = calloc((size_t)RECORDS, (size_t)ranks);
  MPI_File file;
  done(MPI_File_open(MPI_COMM_WORLD, path, MPI_MODE_CREATE | MPI_MODE_EXCL | MPI_MODE_RDWR, MPI_INFO_NULL, &file),
       "open");
  for (int record = 0; record < RECORDS; record++) {
    int number = record * ranks + rank;
    done(MPI_File_write_shared(file, &number, sizeof number, MPI_BYTE, MPI_STATUS_IGNORE), "write_shared");
  }
  settle(file);
  done(MPI_File_read_at(file, 0, all, RECORDS * ranks * (int)sizeof(int), MPI_BYTE, MPI_STATUS_IGNORE), "read_at");
  for (int index = 0; index < RECORDS * ranks; index++) {
    int number;
    memcpy(&number, all + (long)index * (long)sizeof number, sizeof number);
    check(number >= 0 && number < RECORDS * ranks && !seen[number]++, "a record is there twice, or is none");
  }
  done(MPI_File_close(&file), "close");
  free(all);
  free(seen);
}

static void atomic(const char *path) {
  enum { BYTES = 200000, PIECES = 20 };
  unsigned char *own = malloc(BYTES), *found = malloc(BYTES);
  MPI_File file;
  MPI_Datatype pieces;
  done(MPI_File_open(MPI_COMM_WORLD, path, MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL, &file), "open");
  done(MPI_File_set_atomicity(file, 1), "set_atomicity");
  /* Twenty pieces with as much between them. */
  MPI_Type_vector(PIECES, BYTES / PIECES, 2 * BYTES / PIECES, MPI_BYTE, &pieces);
  MPI_Type_commit(&pieces);
  done(MPI_File_set_view(file, 0, MPI_BYTE, pieces, "native", MPI_INFO_NULL), "set_view");
  for (int round = 0; round < 10; round++) {
    memset(own, 1 + rank + round * ranks, BYTES);
    done(MPI_File_write_at(file, 0, own, BYTES, MPI_BYTE, MPI_STATUS_IGNORE), "write_at");
    done(MPI_File_read_at(file, 0, found, BYTES, MPI_BYTE, MPI_STATUS_IGNORE), "read_at");
    for (int at = 1; at < BYTES; at++) check(found[at] == found[0], "pieces of two writes");
    MPI_Barrier(MPI_COMM_WORLD);
  }
  done(MPI_File_close(&file), "close");
  free(own);
  free(found);
}

static void sync_path(const char *path) {
  int fd = open(path, O_RDONLY);
  check(fd >= 0 && fsync(fd) == 0 && close(fd) == 0, "fsync of a directory");
}

static void save(const char *directory) {
  char path[4200], final[4096];
  unsigned char *data = malloc(SAVED);
  long at = 0;
  if (rank == 0) check(mkdir(directory, 0755) == 0, "mkdir");
  MPI_Barrier(MPI_COMM_WORLD);
  snprintf(final, sizeof final, "%s/rank.%d", directory, rank);
  snprintf(path, sizeof path, "%s.new", final);
  fill(data, SAVED, rank, 0, 9);
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
  check(fd >= 0, "create");
  while (at < SAVED) {
    long count = write(fd, data + at, (size_t)(SAVED - at < 1000000 ? SAVED - at : 1000000));
    check(count > 0, "write");
    at += count;
  }
  check(fsync(fd) == 0 && close(fd) == 0, "fsync and close");
  check(rename(path, final) == 0, "rename");
  sync_path(directory);
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank == 0) {
    snprintf(path, sizeof path, "%s/complete.new", directory);
    snprintf(final, sizeof final, "%s/complete", directory);
    FILE *file = fopen(path, "w");
    check(file != NULL && fprintf(file, "%d\n", ranks) > 0 && fflush(file) == 0 && fsync(fileno(file)) == 0, "complete");
    check(fclose(file) == 0 && rename(path, final) == 0, "complete in place");
    sync_path(directory);
  }
  MPI_Barrier(MPI_COMM_WORLD);
  free(data);
}

static void restore(const char *directory) {
  char path[4096];
  unsigned char *data = malloc(SAVED + 1);
  int saved = 0;
  snprintf(path, sizeof path, "%s/complete", directory);
  FILE *file = fopen(path, "r");
  check(file != NULL && fscanf(file, "%d", &saved) == 1 && saved == ranks && fclose(file) == 0, "complete");
  snprintf(path, sizeof path, "%s/rank.%d", directory, rank);
  file = fopen(path, "rb");
  check(file != NULL, "open");
  check(fread(data, 1, SAVED + 1, file) == SAVED && fclose(file) == 0, "read");
  expect(data, SAVED, rank, 0, 9, "what was saved");
  free(data);
}

int main(int count, char **words) {
  MPI_Init(&count, &words);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const struct {
    const char *name;
    void (*run)(const char *);
  } works[] = {{"shared", shared}, {"pointer", pointer}, {"atomic", atomic}, {"save", save}, {"restore", restore}};
  int found = 0;
  for (unsigned index = 0; count == 3 && index < sizeof works / sizeof *works; index++)
    if (strcmp(words[1], works[index].name) == 0) works[index].run(words[2]), found = 1;
  check(found, "what to do?");
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank == 0) printf("%s: %d ranks\n", words[1], ranks);
  MPI_Finalize();
  return 0;
}
