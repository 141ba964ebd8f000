// conv2d, depthwise_conv2d and their gradients. x is (batch, rows, cols, channels), y likewise;
// attributes: strides, dilation (rows, cols; default 1), padding (top, bottom, left, right;
// default 0), groups (default 1; conv2d only), and activation (default none) where a bias may
// stand as the third input; with the flag `gate` a tensor of the shape of dx is the last input of
// conv2d_data_gradient: dx is 0 where it isn't positive. With the flag `pool` the outputs of conv2d
// are those of a max_pool2d of its result by windows of 2 x 2. `exact` forgoes Winograd transforms.
// Without rows (x of 3 axes) it is a convolution in one dimension, and the attributes are those of
// columns alone.
#include <algorithm>
#include <limits>

#include "kernels/convolution.h"
#include "kernels/pooling.h"
#include "program/epilogue_attributes.h"
#include "program/instruction.h"
#include "simd/parallel.h"

namespace kcore {
namespace {

// Larger extents have no use, and products of those that are in use stay far from overflow.
constexpr std::int64_t kMaxExtent = std::numeric_limits<std::int32_t>::max();
constexpr double kMaxPaddedElements = 1e15;
constexpr std::int64_t kMaxThreadBytes = std::int64_t{1} << 30;

std::vector<std::int64_t> list(const Attributes& attributes, const char* name, std::size_t count,
                               std::int64_t fallback, std::int64_t least) {
  if (!attributes.has(name)) return std::vector<std::int64_t>(count, fallback);
  const auto values = attributes.integers(name);
  bool valid = values.size() == count;
  for (const std::int64_t value : values) valid = valid && value >= least && value <= kMaxExtent;
  require(valid, std::string(name) + " must be " + std::to_string(count) +
                     " integers of at least " + std::to_string(least) + ", got " +
                     to_string(values));
  return values;
}

void require_tensor(const Operand& operand, const char* what, DType dtype, std::int64_t rank) {
  require(operand.dtype == dtype, std::string(what) + " must be " + dtype_name(dtype) + ", got " +
                                      dtype_name(operand.dtype));
  require(operand.rank() == rank, std::string(what) + " must have " + std::to_string(rank) +
                                      " axes, got the shape " + to_string(operand.shape));
  for (const std::int64_t extent : operand.shape) {
    require(extent <= kMaxExtent, std::string(what) + " is too large: " + to_string(operand.shape));
  }
}

std::int64_t output_extent(std::int64_t in, std::int64_t kernel, std::int64_t stride,
                           std::int64_t dilation, std::int64_t before, std::int64_t after) {
  const std::int64_t span = (kernel - 1) * dilation + 1;
  const std::int64_t padded = in + before + after;
  require(kernel >= 1, "the kernel has an extent of 0");
  require(span <= padded, "the kernel's extent " + std::to_string(span) +
                              " is larger than the padded image's " + std::to_string(padded));
  return (padded - span) / stride + 1;
}

std::string shapes_of(const Operand& x, const Operand& kernel) {
  return "x " + to_string(x.shape) + " and kernel " + to_string(kernel.shape);
}

ConvolutionGeometry make_geometry(const Operand& x, const Operand& kernel, DType dtype,
                                  const Attributes& attributes, bool depthwise) {
  require(dtype == DType::float32 || dtype == DType::float64,
          std::string("has no kernel for ") + dtype_name(dtype));
  const std::size_t spatial = x.rank() == 3 ? 1 : 2;
  const auto rank = static_cast<std::int64_t>(spatial) + 2;
  require_tensor(x, "x", dtype, rank);
  require_tensor(kernel, "kernel", dtype, rank);
  auto strides = list(attributes, "strides", spatial, 1, 1);
  auto dilation = list(attributes, "dilation", spatial, 1, 1);
  auto padding = list(attributes, "padding", 2 * spatial, 0, 0);
  if (spatial == 1) {
    strides.insert(strides.begin(), 1);
    dilation.insert(dilation.begin(), 1);
    padding.insert(padding.begin(), 2, 0);
  }

  const std::int64_t kernel_inputs = kernel.shape[spatial], kernel_outputs = kernel.shape[rank - 1];
  ConvolutionGeometry g;
  g.batch = x.shape[0];
  g.in_rows = spatial == 1 ? 1 : x.shape[1];
  g.in_cols = x.shape[spatial];
  g.in_channels = x.shape[rank - 1];
  g.kernel_rows = spatial == 1 ? 1 : kernel.shape[0];
  g.kernel_cols = kernel.shape[spatial - 1];
  g.stride_rows = strides[0];
  g.stride_cols = strides[1];
  g.dilation_rows = dilation[0];
  g.dilation_cols = dilation[1];
  g.pad_top = padding[0];
  g.pad_left = padding[2];
  g.exact = attributes.flag("exact");
  const std::string shapes = shapes_of(x, kernel);
  if (depthwise) {
    require(kernel_inputs == g.in_channels, "the channels of " + shapes + " differ");
    g.groups = g.in_channels;
    g.out_channels = g.in_channels * kernel_outputs;
    require(g.out_channels <= kMaxExtent, "the output of " + shapes + " is too large");
  } else {
    g.groups = attributes.integer("groups", 1);
    g.out_channels = kernel_outputs;
    require(g.groups >= 1 && g.in_channels % g.groups == 0 && g.out_channels % g.groups == 0,
            "the channels of " + shapes + " do not divide into " + std::to_string(g.groups) +
                " groups");
    require(kernel_inputs == g.in_channels / g.groups,
            "the channels of " + shapes + " differ in " + std::to_string(g.groups) + " groups");
  }
  g.out_rows = output_extent(g.in_rows, g.kernel_rows, g.stride_rows, g.dilation_rows, padding[0],
                             padding[1]);
  g.out_cols = output_extent(g.in_cols, g.kernel_cols, g.stride_cols, g.dilation_cols, padding[2],
                             padding[3]);
  const double padded = static_cast<double>(g.in_rows + padding[0] + padding[1]) *
                        static_cast<double>(g.in_cols + padding[2] + padding[3]) *
                        static_cast<double>(std::max(g.in_channels, g.out_channels));
  require(padded <= kMaxPaddedElements, "the padded images of " + shapes + " are too large");
  return g;
}

void require_output(const char* what, const Operand& out, DType dtype, const Shape& shape,
                    const Operand& x, const Operand& kernel) {
  require_tensor(out, what, dtype, x.rank());
  require(out.shape == shape, shapes_of(x, kernel) + " give " + to_string(shape) + ", but " + what +
                                  " has " + to_string(out.shape));
}

// The greatest of every 2 x 2 pixels of a convolution's result.
Pooling pooling_by_two(const ConvolutionGeometry& g) {
  Pooling p{};
  p.batch = g.batch;
  p.height = g.out_rows;
  p.width = g.out_cols;
  p.channels = g.out_channels;
  p.out_height = g.out_rows / 2;
  p.out_width = g.out_cols / 2;
  p.pool_height = p.pool_width = p.stride_y = p.stride_x = 2;
  return p;
}

// What an instruction computes: which operand it writes.
enum class Pass { forward, data_gradient, weight_gradient };

template <class T, Pass pass, bool depthwise>
class Convolution final : public Instruction {
 public:
  Convolution(const Operand& first, const Operand& second, const Operand& bias, const Operand& gate,
              const Operands& outputs, const ConvolutionGeometry& geometry, Activation activation,
              bool pooled)
      : first_(first),
        second_(second),
        bias_(bias),
        gate_(gate),
        out_(outputs[0]),
        geometry_(geometry),
        activation_(activation),
        pooled_(pooled) {
    if (outputs.size() > 1) places_ = outputs[1];
    const ConvolutionMemory memory = needed_memory();
    require(memory.thread <= kMaxThreadBytes, "padding and dilation make the images too large");
    workspace_bytes_ = memory.shared;
    if (pooled && !pools()) {  // then the result that is pooled lies behind the kernel's own memory
      unpooled_ = (workspace_bytes_ + 63) / 64 * 64;
      const std::int64_t pixels = geometry.batch * geometry.out_rows * geometry.out_cols;
      workspace_bytes_ =
          unpooled_ + pixels * geometry.out_channels * static_cast<std::int64_t>(sizeof(T));
    }
  }

  void run(const Frame& frame) const override {
    if (out_.size() == 0) return;
    const T* first = frame.data<T>(first_);
    const T* second = frame.data<T>(second_);
    const auto optional = [&](const Operand& operand) -> const T* {
      return operand.slot >= 0 ? frame.data<T>(operand) : nullptr;
    };
    Epilogue<T> epilogue{optional(bias_), activation_, optional(gate_)};
    T* out = frame.data<T>(out_);
    const ConvolutionGeometry& g = geometry_;
    void* workspace = frame.workspace;
    if constexpr (depthwise) {
      const DepthwiseKernels<T>& kernels = depthwise_kernels<T>();
      if constexpr (pass == Pass::forward) {
        kernels.forward(g, first, second, epilogue, out, workspace);
      } else if constexpr (pass == Pass::data_gradient) {
        kernels.data_gradient(g, first, second, out, workspace);
      } else {
        kernels.weight_gradient(g, first, second, out, workspace);
      }
    } else {
      const ConvolutionKernels<T>& kernels = convolution_kernels<T>();
      if constexpr (pass == Pass::forward) {
        auto* places = places_.slot >= 0 ? frame.data<std::uint8_t>(places_) : nullptr;
        if (pooled_ && unpooled_ < 0) {
          epilogue.pooled = out;
          epilogue.places = places;
          out = nullptr;
        } else if (pooled_) {
          out = reinterpret_cast<T*>(frame.workspace + unpooled_);
        }
        const T* prepared = reinterpret_cast<const T*>(frame.prepared);
        kernels.forward(g, first, second, prepared, epilogue, out, workspace);
        if (unpooled_ >= 0) pool(out, frame.data<T>(out_), places);
      } else if constexpr (pass == Pass::data_gradient) {
        kernels.data_gradient(g, first, second, epilogue, out, workspace);
      } else {
        convolution_weights_kernels<T>().weight_gradient(g, first, second, out, workspace);
      }
    }
  }

  Preparable preparable() const override {
    if (pass != Pass::forward || depthwise || out_.size() == 0) return {};
    const std::int64_t elements = convolution_kernels<T>().prepared_elements(geometry_);
    return {second_.slot, elements * static_cast<std::int64_t>(sizeof(T))};
  }
  void prepare(const Frame& frame, std::byte* to) const override {
    const T* kernel = frame.data<T>(second_);
    convolution_kernels<T>().prepare(geometry_, kernel, reinterpret_cast<T*>(to));
  }

  std::int64_t workspace_bytes() const override { return workspace_bytes_; }
  ScratchNeed scratch() const override {
    const ConvolutionMemory memory = needed_memory();
    ScratchNeed need = memory.product;
    if (flops() >= kParallelFlops) {
      need.add_team(Scratch::convolution, memory.thread);
    } else {
      need.add_caller(Scratch::convolution, memory.thread);
    }
    return need;
  }
  double flops() const override { return geometry_.flops(); }

 private:
  bool pools() const {
    if constexpr (depthwise || pass != Pass::forward) return false;
    const bool simple = activation_ == Activation::none || activation_ == Activation::relu;
    return simple && convolution_kernels<T>().pools(geometry_);
  }

  void pool(const T* y, T* pooled, std::uint8_t* places) const {
    constexpr int kind = sizeof(T) == sizeof(double);
    const Pooling p = pooling_by_two(geometry_);
    if (places == nullptr) {
      pooling_kernels().max_pool[kind](p, y, pooled);
    } else {
      pooling_kernels().max_pool_places[kind][0](p, y, pooled, places);
    }
  }

  ConvolutionMemory needed_memory() const {
    if (out_.size() == 0) return {};
    if constexpr (depthwise) {
      const DepthwiseKernels<T>& kernels = depthwise_kernels<T>();
      return pass == Pass::forward         ? kernels.forward_memory(geometry_)
             : pass == Pass::data_gradient ? kernels.data_gradient_memory(geometry_)
                                           : kernels.weight_gradient_memory(geometry_);
    } else {
      return pass == Pass::forward ? convolution_kernels<T>().forward_memory(geometry_)
             : pass == Pass::data_gradient
                 ? convolution_kernels<T>().data_gradient_memory(geometry_)
                 : convolution_weights_kernels<T>().memory(geometry_);
    }
  }

  Operand first_, second_, bias_, gate_, out_, places_;
  ConvolutionGeometry geometry_;
  Activation activation_;
  bool pooled_;
  std::int64_t workspace_bytes_ = 0, unpooled_ = -1;
};

template <Pass pass, bool depthwise>
std::unique_ptr<Instruction> make(const Operands& inputs, const Operands& outputs,
                                  const Attributes& attributes) {
  constexpr bool takes_bias = pass == Pass::forward || (pass == Pass::data_gradient && !depthwise);
  constexpr const char* names = pass == Pass::forward         ? "x and kernel"
                                : pass == Pass::data_gradient ? "dy and kernel"
                                                              : "x and dy";
  const bool gated = pass == Pass::data_gradient && !depthwise && attributes.flag("gate");
  const std::size_t ungated = inputs.size() - (gated ? 1 : 0);
  const bool pooled = pass == Pass::forward && !depthwise && attributes.flag("pool");
  require((ungated == 2 || (takes_bias && ungated == 3)) &&
              (outputs.size() == 1 || (pooled && outputs.size() == 2)),
          std::string("takes ") + names + (takes_bias ? ", optionally a bias," : "") +
              (gated ? " a gate," : "") + " and has one output" + (pooled ? ", or two" : ""));
  const Operand& x = pass == Pass::data_gradient ? outputs[0] : inputs[0];
  const Operand& kernel = pass == Pass::weight_gradient ? outputs[0] : inputs[1];
  const Operand& y = pass == Pass::forward         ? outputs[0]
                     : pass == Pass::data_gradient ? inputs[0]
                                                   : inputs[1];
  const DType dtype = y.dtype;
  const ConvolutionGeometry geometry = make_geometry(x, kernel, dtype, attributes, depthwise);
  Shape shape{geometry.batch, geometry.out_rows, geometry.out_cols, geometry.out_channels};
  if (pooled) {
    require(x.rank() == 4, "pools images alone");
    shape[1] /= 2;
    shape[2] /= 2;
    if (outputs.size() == 2) {
      require_output("places", outputs[1], DType::uint8, shape, x, kernel);
    }
  }
  if (x.rank() == 3) shape.erase(shape.begin() + 1);
  require_output("y", y, dtype, shape, x, kernel);
  Activation activation = Activation::none;
  if constexpr (takes_bias) {
    activation = activation_from_name(attributes.text("activation", "none"));
  }
  Operand bias;
  if (ungated == 3) {
    bias = inputs[2];
    const std::int64_t channels = outputs[0].shape.back();
    require(bias.dtype == outputs[0].dtype && bias.shape == Shape{channels},
            std::string("takes a bias of ") + std::to_string(channels) + " " +
                dtype_name(outputs[0].dtype) + " elements, got " + dtype_name(bias.dtype) + " " +
                to_string(bias.shape));
  }
  Operand gate;
  if (gated) {
    gate = inputs.back();
    require(gate.dtype == outputs[0].dtype && gate.shape == outputs[0].shape,
            std::string("takes a gate like its output, ") + dtype_name(outputs[0].dtype) + " " +
                to_string(outputs[0].shape) + ", got " + dtype_name(gate.dtype) + " " +
                to_string(gate.shape));
  }
  if (outputs[0].dtype == DType::float32) {
    return std::make_unique<Convolution<float, pass, depthwise>>(
        inputs[0], inputs[1], bias, gate, outputs, geometry, activation, pooled);
  }
  return std::make_unique<Convolution<double, pass, depthwise>>(
      inputs[0], inputs[1], bias, gate, outputs, geometry, activation, pooled);
}

const RegisterInstruction conv2d("conv2d", make<Pass::forward, false>);
const RegisterInstruction conv2d_data_gradient("conv2d_data_gradient",
                                               make<Pass::data_gradient, false>);
const RegisterInstruction conv2d_weight_gradient("conv2d_weight_gradient",
                                                 make<Pass::weight_gradient, false>);
const RegisterInstruction depthwise_conv2d("depthwise_conv2d", make<Pass::forward, true>);
const RegisterInstruction depthwise_conv2d_data_gradient("depthwise_conv2d_data_gradient",
                                                         make<Pass::data_gradient, true>);
const RegisterInstruction depthwise_conv2d_weight_gradient("depthwise_conv2d_weight_gradient",
                                                           make<Pass::weight_gradient, true>);

}  // namespace
}  // namespace kcore
