/*
 * hdf5 FILE: a file of parallel HDF5 that all ranks write together: rows, and chunks of a table that has no more of
 * them than were written. What is in it does not depend on how many ranks there are.
 */
#include <hdf5.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 240, COLUMNS = 500, CHUNK = 16 };

static void check(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "%s\n", what);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

/* Every rank its rows: those whose number, by `run` rows at a time, is its own. */
static void write_rows(hid_t file, const char *name, int chunked, H5FD_mpio_xfer_t how, int rank, int ranks) {
  hsize_t size[2] = {ROWS, COLUMNS}, chunk[2] = {CHUNK, COLUMNS / 5};
  hid_t space = H5Screate_simple(2, size, NULL), create = H5Pcreate(H5P_DATASET_CREATE);
  hid_t transfer = H5Pcreate(H5P_DATASET_XFER);
  if (chunked) check(H5Pset_chunk(create, 2, chunk) >= 0, "H5Pset_chunk");
  check(H5Pset_dxpl_mpio(transfer, how) >= 0, "H5Pset_dxpl_mpio");
  hid_t set = H5Dcreate2(file, name, H5T_NATIVE_DOUBLE, space, H5P_DEFAULT, create, H5P_DEFAULT);
  check(set >= 0, "H5Dcreate2");
  double *data = malloc(sizeof *data * ROWS * COLUMNS);
  int count = 0;
  H5Sselect_none(space);
  for (hsize_t first = (hsize_t)rank * CHUNK; first < ROWS; first += (hsize_t)ranks * CHUNK) {
    hsize_t start[2] = {first, 0}, block[2] = {CHUNK, COLUMNS};
    check(H5Sselect_hyperslab(space, H5S_SELECT_OR, start, NULL, block, NULL) >= 0, "H5Sselect_hyperslab");
    for (int row = 0; row < CHUNK; row++)
      for (int column = 0; column < COLUMNS; column++) data[count++] = (double)(first + row) * COLUMNS + column;
  }
  hsize_t own = (hsize_t)count;
  hid_t memory = H5Screate_simple(1, &own, NULL);
  if (count == 0) H5Sselect_none(memory);
  check(H5Dwrite(set, H5T_NATIVE_DOUBLE, memory, space, transfer, data) >= 0, "H5Dwrite");
  free(data);
  check(H5Dclose(set) >= 0 && H5Sclose(space) >= 0 && H5Sclose(memory) >= 0, "close of a set");
}

int main(int count, char **words) {
  int rank, ranks;
  MPI_Init(&count, &words);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  check(count == 2 && H5Pset_fapl_mpio(access, MPI_COMM_WORLD, MPI_INFO_NULL) >= 0, "H5Pset_fapl_mpio");
  hid_t file = H5Fcreate(words[1], H5F_ACC_EXCL, H5P_DEFAULT, access);
  check(file >= 0, "H5Fcreate");
  write_rows(file, "rows", 0, H5FD_MPIO_COLLECTIVE, rank, ranks);
  write_rows(file, "own", 0, H5FD_MPIO_INDEPENDENT, rank, ranks);
  write_rows(file, "chunks", 1, H5FD_MPIO_COLLECTIVE, rank, ranks);
  check(H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0 && H5Fclose(file) >= 0, "close");
  if (rank == 0) printf("%d ranks\n", ranks);
  MPI_Finalize();
  return 0;
}
