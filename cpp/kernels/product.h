// A correlation as a matrix product: rows are output pixels, depth is (tap, channel), columns are
// output channels.
#pragma once

#include "kernels/correlation.h"
#include "kernels/packing.h"

namespace kcore::KCORE_ISA_NAMESPACE {

template <class T>
struct Product {
  Grid grid;
  std::int64_t groups, depth_channels, group_columns;         // of a group
  std::int64_t kernel_cols, kernel_channels, kernel_outputs;  // extents 1, 2 and 3 of the kernel
  bool transposed;  // depth runs over the kernel's last axis, columns over the one before
  std::int64_t out_rows, out_cols;  // of the tensor that the grid's outputs lie in

  std::int64_t out_channels() const { return groups * group_columns; }
  std::int64_t taps() const { return grid.rows.taps * grid.cols.taps; }
  std::int64_t depth() const { return taps() * depth_channels; }
  std::int64_t panels() const { return ceil_div(group_columns, kBlockCols<T>); }
  double flops() const {
    return 2.0 * static_cast<double>(grid.batch * grid.rows.out * grid.cols.out) *
           static_cast<double>(depth()) * static_cast<double>(out_channels());
  }
};

template <class T>
KCORE_INLINE Product<T> forward_product(const ConvolutionGeometry& g) {
  Product<T> product{};
  product.grid.rows =
      forward_axis(g.out_rows, g.stride_rows, g.in_rows, g.pad_top, g.kernel_rows, g.dilation_rows);
  product.grid.cols = forward_axis(g.out_cols, g.stride_cols, g.in_cols, g.pad_left, g.kernel_cols,
                                   g.dilation_cols);
  product.grid.batch = g.batch;
  product.grid.source_channels = g.in_channels;
  product.groups = g.groups;
  product.depth_channels = product.kernel_channels = g.in_channels / g.groups;
  product.group_columns = g.out_channels / g.groups;
  product.kernel_cols = g.kernel_cols;
  product.kernel_outputs = g.out_channels;
  product.out_rows = g.out_rows;
  product.out_cols = g.out_cols;
  return product;
}

template <class T>
KCORE_INLINE Product<T> phase_product(const ConvolutionGeometry& g, std::int64_t row,
                                      std::int64_t col) {
  Product<T> product{};
  product.grid.rows = phase_axis(g.in_rows, g.stride_rows, g.out_rows, g.pad_top, g.kernel_rows,
                                 g.dilation_rows, (row + g.pad_top) % g.stride_rows);
  product.grid.cols = phase_axis(g.in_cols, g.stride_cols, g.out_cols, g.pad_left, g.kernel_cols,
                                 g.dilation_cols, (col + g.pad_left) % g.stride_cols);
  // Without a tap along one axis there is none at all.
  if (product.grid.rows.taps == 0 || product.grid.cols.taps == 0) {
    product.grid.rows.taps = product.grid.cols.taps = 0;
    product.grid.rows.origin = product.grid.cols.origin = 0;
  }
  product.grid.batch = g.batch;
  product.grid.source_channels = g.out_channels;
  product.groups = g.groups;
  product.depth_channels = g.out_channels / g.groups;
  product.group_columns = product.kernel_channels = g.in_channels / g.groups;
  product.kernel_cols = g.kernel_cols;
  product.kernel_outputs = g.out_channels;
  product.transposed = true;
  product.out_rows = g.in_rows;
  product.out_cols = g.in_cols;
  return product;
}

// `count` channels from `first` on of tap (u, v) in one panel of the kernel: channel, kBlockCols
// columns (zero past the last). Panels are numbered group after group.
template <class T>
void pack_tap(const Product<T>& product, const T* kernel, std::int64_t u, std::int64_t v,
              std::int64_t panel, std::int64_t first, std::int64_t count, T* packed) {
  constexpr std::int64_t cols = kBlockCols<T>;
  const Axis &rows = product.grid.rows, &columns = product.grid.cols;
  const std::int64_t row = rows.kernel_first + u * rows.kernel_step;
  const std::int64_t col = columns.kernel_first + v * columns.kernel_step;
  const std::int64_t outputs = product.kernel_outputs;
  const T* tap = kernel + (row * product.kernel_cols + col) * product.kernel_channels * outputs;
  const std::int64_t group = panel / product.panels(), column = panel % product.panels() * cols;
  const std::int64_t used = min(cols, product.group_columns - column);
  const T* source = product.transposed
                        ? tap + column * outputs + group * product.depth_channels + first
                        : tap + first * outputs + group * product.group_columns + column;
  pack_panel<T>(product.transposed, source, outputs, used, cols, count, packed);
}

// The kernel in panels: group, panel, tap, channel, column.
template <class T>
void pack_kernel(const Product<T>& product, const T* kernel, T* packed) {
  constexpr std::int64_t cols = kBlockCols<T>, task_elements = 16384;
  const std::int64_t panels = product.panels(), depth = product.depth();
  const bool parallel = product.groups * panels * cols * depth > 2 * task_elements;
  for_tasks(parallel, product.groups * panels, [&](std::int64_t panel) {
    T* to = packed + panel * depth * cols;
    for (std::int64_t u = 0; u < product.grid.rows.taps; ++u) {
      for (std::int64_t v = 0; v < product.grid.cols.taps; ++v) {
        pack_tap(product, kernel, u, v, panel, 0, product.depth_channels, to);
        to += product.depth_channels * cols;
      }
    }
  });
}

}  // namespace kcore::KCORE_ISA_NAMESPACE
